"""The server with a sampler, for `python -m benchmarks profile`.

    python -m benchmarks.sampled_server PATH

A timer of the process's CPU time interrupts the event loop's thread, as often as the kernel's clock permits,
and records the Python stack; a sample during a commit shows the position of the loop. Writes PATH at its end.
"""

import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from ironflow.server import run

EVERY_S = 0.001


class Sampler:
    """samples: number of samples of each stack, as a text of `module:function` from the outermost on."""

    def __init__(self) -> None:
        self.samples: Counter[str] = Counter()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        stack: list[str] = []
        while frame is not None:
            stack.append(f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        self.samples[";".join(reversed(stack))] += 1


def main(path: str) -> None:
    sampler = Sampler()
    sampler.start()
    try:
        run.main()
    finally:
        sampler.stop()
        facts = {"samples": sampler.samples, "processor_s": time.process_time()}
        Path(path).write_text(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1])
