"""Processes that hold thousands of modules, in which the garbage collector looks for seconds and finds nothing."""

import atexit
import gc

NEW_OBJECTS = 10_000
"""So many new objects before the collector looks among them; by default 700, as for a small program."""


def collect_less() -> None:
    """Let this process import its modules in four fifths of the time, and end without a last look at all they hold."""
    gc.set_threshold(NEW_OBJECTS)
    # The system takes back the memory of a process that ends.
    atexit.register(gc.freeze)
