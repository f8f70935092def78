"""What the client answers with, where a contract's message holds payloads: the same fields, payloads as plain values.

A view has exactly its message's field names; a test holds them together.
"""

from ironflow.sdk.views.base import *
from ironflow.sdk.views.consumer_groups import *
from ironflow.sdk.views.events import *
from ironflow.sdk.views.functions import *
from ironflow.sdk.views.making import *
from ironflow.sdk.views.projections import *
from ironflow.sdk.views.runs import *
from ironflow.sdk.views.stored import *
