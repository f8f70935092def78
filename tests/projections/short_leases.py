"""A server on which a runner that is gone is missed soon: `python -m tests.projections.short_leases`."""

import runpy
from datetime import timedelta

from ironflow.features.projections import rules
from ironflow.features.projections.rules import leases

LEASE_MS = 3_000

if __name__ == "__main__":
    # Each module that reads them by a name of its own.
    rules.LEASE_MS = leases.LEASE_MS = LEASE_MS
    rules.LEASE = leases.LEASE = timedelta(milliseconds=LEASE_MS)
    runpy.run_module("ironflow.server.run", run_name="__main__", alter_sys=True)
