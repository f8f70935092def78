"""The worker on one stream instead of requests. Source: protocol/worker-stream.md."""

from dataclasses import replace

from ironflow.base.spelling import camel
from ironflow.sdk.conversation import Conversation
from ironflow.sdk.worker import Worker

# A checkpoint is one frame here: a step that ended is soon safe, and seen to have ended.
CHECKPOINT_S = 0.05


class StreamingWorker(Worker):
    """A Worker whose jobs and reports travel on one HTTP/2 stream: less delay, and steps can be seen while they run.

        StreamingWorker(functions=[process_order]).run()

    Takes what Worker takes and does what it does. Registrations and messages that handlers publish are requests still.
    When the server stops, jobs go on; the worker joins again as soon as there is a server.
    Raises, when it is started, Unimplemented for a server without streaming workers, and as Worker does.
    """

    def _conversation(self) -> Conversation:
        # Programs that poll need no HTTP/2.
        from ironflow.sdk.streaming import Streaming

        if self._pace.checkpoint:
            self._jobs.pace = replace(self._pace, checkpoint=min(self._pace.checkpoint, CHECKPOINT_S))
        return Streaming(
            self._caller.url,
            self._caller.headers(),
            self._protocol,
            self._jobs,
            self._pace,
            list(self.functions.values()),
            {camel(name): said for name, said in self._card.items()},
            self._plain_protocol,
            self._ready.set,
        )
