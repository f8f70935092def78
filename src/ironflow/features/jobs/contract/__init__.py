"""What a polling worker can ask. Source: protocol/worker-rest.md, protocol/rest.md 5."""

from ironflow.features.jobs.contract.workers import *
from ironflow.features.jobs.contract.polling import *
from ironflow.features.jobs.contract.reporting import *
