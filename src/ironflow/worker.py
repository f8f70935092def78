"""What a program that runs functions imports: `from ironflow.worker import Worker, function`."""

from ironflow.sdk.function import FunctionDefinition, function
from ironflow.sdk.pace import Pace
from ironflow.sdk.streaming_worker import StreamingWorker
from ironflow.sdk.worker import Worker

__all__ = ["FunctionDefinition", "Pace", "StreamingWorker", "Worker", "function"]
