"""What people see of a run: the terminal for messages, the one for results, and how much of an error is shown."""

from dataclasses import dataclass

from rich.console import Console

# Names of stations, files and errors are shown as they are: rich would read "[/x]" in one as its own markup and fail.
console = Console(stderr=True, markup=False)
# A log or a pipe has no width: rich takes 80 columns and would break URLs and lists of stages in their middle.
console.soft_wrap = not console.is_terminal
output = Console(soft_wrap=True, markup=False)


@dataclass
class Verbosity:
    """How much is shown.

    Attributes
    ----------
    traceback : show where in the code an error happened
    """

    traceback: bool = False


verbosity = Verbosity()
