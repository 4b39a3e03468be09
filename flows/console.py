"""What people see of a run: the terminal for messages, the one for results, and how much of an error is shown."""

import time
from dataclasses import dataclass

from rich.console import Console

# Ten seconds are where people's attention ends (Nielsen 1993); half of it tells in time that it goes on.
SILENT_SECONDS = 5.0

# Names of stations, files and errors are shown as they are: rich would read "[/x]" in one as its own markup and fail.
console = Console(stderr=True, markup=False)
# A log or a pipe has no width: rich takes 80 columns and would break URLs and lists of stages in their middle.
console.soft_wrap = not console.is_terminal
output = Console(soft_wrap=True, markup=False)
# In 80 columns a table of many numbers would lose their last digits.
output.width = output.width if output.is_terminal else 160


@dataclass
class Verbosity:
    """How much is shown.

    Attributes
    ----------
    traceback : show where in the code an error happened
    """

    traceback: bool = False


verbosity = Verbosity()


class Narrator:
    """Says what a command is looking at, once it has taken longer than people wait without a word."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, subject: str) -> None:
        """Name what is looked at next, with the seconds that have gone by."""
        if (seconds := time.monotonic() - self._began) > SILENT_SECONDS:
            console.print(f"{seconds:.0f} s: looking at {subject}")
