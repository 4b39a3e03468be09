"""Beginning and end of processes that hold thousands of modules, in which the garbage collector finds nothing.

It walks through all that modules hold, time and again while they are imported and for seconds at the very end.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import without the collector, which takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def end_without_search() -> None:
    """Let this process end without a last search of everything it holds: the system takes all of it back at once."""
    atexit.register(gc.freeze)
