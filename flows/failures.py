"""A failure as one sentence with the cause at its root: for the terminal, for Prefect and for the status page."""

import tempfile
from pathlib import Path

from botocore.exceptions import BotoCoreError
from obstore.exceptions import BaseError

from somo.publish.complete import first_line
from somo.storage.objects import FULL, no_space


class RunError(RuntimeError):
    """A run that ended for a reason which its own type would hide."""


def in_one_sentence(error: BaseException) -> str:
    """What went wrong and what to do.

    Errors of this project say both themselves. Those of libraries get what they lack; anything else is called
    unexpected, and `--debug` shows where it came from.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        # A library that fills the disk of temporary files names no file at all.
        place = Path(error.filename).parent if isinstance(error.filename, str) else Path(tempfile.gettempdir())
        return f"{no_space(place)}, or name another folder in TMPDIR if it is the one for temporary files"
    # Python's own TimeoutErrors have no text, or one that names nothing; those of other modules say what they waited
    # for.
    if isinstance(error, TimeoutError) and type(error).__module__ in ("builtins", "asyncio", "asyncio.exceptions"):
        return f"something was waited for in vain: {error or 'a library gave up without a word'}; --debug shows where"
    if isinstance(error, ValueError | OSError):
        return str(error)
    if isinstance(error, BotoCoreError | BaseError):
        return f"{first_line(error)}; check the URL, whether its server answers range requests, and the AWS_* settings"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"
