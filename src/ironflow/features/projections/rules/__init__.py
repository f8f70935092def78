"""What is decided about projections; pure. Source: protocol/projections.md, docs/reference/projections.md."""

from ironflow.features.projections.rules.registry import *
from ironflow.features.projections.rules.leases import *
from ironflow.features.projections.rules.saving import *
from ironflow.features.projections.rules.delivering import *
from ironflow.features.projections.rules.rebuilding import *
from ironflow.features.projections.rules.waiting import *
