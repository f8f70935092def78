"""What can be asked of projections. Source: protocol/projections.md, connectrpc.md 5.5, rest.md 12."""

from ironflow.features.projections.contract.registry import *
from ironflow.features.projections.contract.running import *
from ironflow.features.projections.contract.reading import *
from ironflow.features.projections.contract.rebuilding import *
from ironflow.features.projections.contract.waiting import *
