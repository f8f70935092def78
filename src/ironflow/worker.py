"""What a program that runs functions imports: `from ironflow.worker import Worker, function`."""

from ironflow.base.deprecation import renamed
from ironflow.sdk.definition.function import FunctionDefinition, function
from ironflow.sdk.worker.streaming_worker import StreamingWorker
from ironflow.sdk.worker.timing import WorkerTiming
from ironflow.sdk.worker.worker import Worker

__all__ = ["FunctionDefinition", "StreamingWorker", "Worker", "WorkerTiming", "function"]


def __getattr__(name: str) -> object:
    if name == "Pace":
        return renamed(__name__, name, "WorkerTiming")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
