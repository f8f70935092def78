"""A server that may have few file descriptors: `python -m tests.server.few_descriptors`.

DESCRIPTORS: its limit. CONNECTIONS: how many of them connections may take, in place of its own share.
"""

import os
import resource
import runpy

if __name__ == "__main__":
    limit = int(os.environ["IRONFLOW_DESCRIPTORS"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    runpy.run_module("ironflow.server.run", run_name="__main__", alter_sys=True)
