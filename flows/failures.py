"""A failure as one sentence with the cause at its root: for the terminal, for Prefect and for the status page."""

import re
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
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
    if isinstance(error, ValueError | OSError | RunError):
        return str(error)
    if isinstance(error, BotoCoreError | BaseError):
        return f"{first_line(error)}; check the URL, whether its server answers range requests, and the AWS_* settings"
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def without_secrets(text: str) -> str:
    """A text for others than whoever wrote the declaration: without what signs or logs in.

    What follows a question mark in a URL may be a signature that opens it, and before the @ of a host stands a login.
    """
    # Libraries also tell the path alone, without the scheme. A question mark without an equals sign behind it may be a
    # wildcard in the name of a file. Quotes, commas and brackets are part of a signed query that a library has decoded.
    text = re.sub(r"(https?://[^\s?]*)\?\S+", r"\1?...", text)
    text = re.sub(r"\?[^\s=]*=\S*", "?...", text)
    return re.sub(r"://[^/\s\"']+@", "://...@", text)


@contextmanager
def told_without_secrets() -> Iterator[None]:
    """Let no signature or login leave in an error: Prefect keeps its text and its causes, and webhooks tell them.

    Raises
    ------
    RunError
        in place of an error that holds one, from the same line of code and without its causes
    """
    try:
        yield
    except Exception as error:
        # Without frames: lines of code are no secrets, though they may look like one.
        text = "".join(traceback.format_exception(error, limit=0))
        if without_secrets(text) == text:
            raise
        raise RunError(without_secrets(in_one_sentence(error))).with_traceback(error.__traceback__) from None
