"""What people see of a run: the terminal for messages, the one for results, and how much of an error is shown."""

from dataclasses import dataclass

from rich.console import Console

console = Console(stderr=True)
output = Console(soft_wrap=True)


@dataclass
class Verbosity:
    """How much is shown.

    Attributes
    ----------
    traceback : show where in the code an error happened
    """

    traceback: bool = False


verbosity = Verbosity()
