"""What the SDK raises through user code to leave a handler.

Not Exceptions, so that `except Exception` lets them pass.
"""

import asyncio


class Yield(BaseException):
    """The handler, or one of its branches, can't go on in this execution.

    It waits for something that takes no worker and starts over when that has come; or the run has failed, and only its
    compensations are run.
    """


class Stopped(asyncio.CancelledError):
    """This execution is over: its handler has ended, or its lease is lost. Nothing more is run for it."""
