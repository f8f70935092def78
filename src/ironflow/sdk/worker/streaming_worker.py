"""The worker that uses one stream instead of polls. Source: protocol/worker-stream.md."""

from dataclasses import replace

from ironflow.base.spelling import camel
from ironflow.sdk.worker.connection import Connection
from ironflow.sdk.worker.worker import Worker

# A checkpoint is one frame here, so a finished step is reported early.
CHECKPOINT_S = 0.05


class StreamingWorker(Worker):
    """A Worker whose jobs and reports travel on one HTTP/2 stream: less delay, and steps can be seen while they run.

        StreamingWorker(functions=[process_order]).run()

    Takes what Worker takes and does what it does. Registrations and messages that handlers publish are requests still.
    When the server stops, jobs go on; the worker joins again as soon as there is a server.
    Raises, when it is started, Unimplemented for a server without streaming workers, and as Worker does.
    """

    def _new_connection(self) -> Connection:
        # Programs that poll need no HTTP/2.
        from ironflow.sdk.worker.streaming import StreamingConnection

        if self._timing.checkpoint:
            self._jobs.timing = replace(self._timing, checkpoint=min(self._timing.checkpoint, CHECKPOINT_S))
        return StreamingConnection(
            self._endpoint.url,
            self._endpoint.headers(),
            self._protocol,
            self._jobs,
            self._timing,
            list(self.functions.values()),
            {camel(name): value for name, value in self._registration.items()},
            self._plain_protocol,
            self._ready.set,
        )
