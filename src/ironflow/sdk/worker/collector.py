"""The garbage collector of a program that is a worker and nothing else."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# An execution makes some hundred objects, and dozens run at a time: at Python's own pace a collection follows nearly
# every execution, looks at all that run, and finds nothing. That is a third of a worker's time with short steps.
NEW_OBJECTS = 10_000
# The older generations are looked at more often in return, so that what was promoted while it ran is not kept for long.
YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS = 5, 3


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Within the block the collector runs less often, and leaves out what there is at its beginning: modules mostly.

    A program that has turned the collector off, or lets it run less often, keeps its own pace.
    """
    before = gc.get_threshold()
    if not gc.isenabled() or not 0 < before[0] < NEW_OBJECTS:
        yield
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_COLLECTIONS, MIDDLE_COLLECTIONS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
