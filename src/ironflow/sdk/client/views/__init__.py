"""What the client answers with, where a contract's message holds payloads: the same fields, payloads as plain values.

A view has exactly its message's field names; a test holds them together.
"""

from ironflow.sdk.client.views.base import *
from ironflow.sdk.client.views.consumer_groups import *
from ironflow.sdk.client.views.convert import *
from ironflow.sdk.client.views.events import *
from ironflow.sdk.client.views.functions import *
from ironflow.sdk.client.views.projections import *
from ironflow.sdk.client.views.runs import *
from ironflow.sdk.client.views.stored import *
from ironflow.sdk.client.views.webhooks import *
