"""Source files opened for libraries that seek; a failure of the network is remembered."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from somo.forcing.listing import SourceFile
from somo.storage.byte_ranges import open_blocks


@contextmanager
def file_handle(file: SourceFile) -> Iterator["Handle"]:
    """A source file opened for reading, as long as it still has the bytes that it had when it was listed.

    Raises
    ------
    Exception
        the failure of network or disk, if there was one, in place of the error that a library made of it
    """
    handle = Handle(open_blocks(file.url, file.fingerprint))
    try:
        yield handle
    except Exception as error:
        if handle.failure is not None and handle.failure is not error:
            raise without_circle(handle.failure, error) from None
        raise


def without_circle(failure: Exception, error: Exception) -> Exception:
    """A failure below a library, ready to be raised while the error is handled that the library made of it.

    The library's error names the failure as its cause, and Python would name the error as the context of the failure.
    Dask follows such a circle for ever, so that its worker never answers.
    """
    error.__cause__ = error.__context__ = None
    return failure


class Handle(io.RawIOBase):
    """A file that remembers why it could not be read.

    Libraries written in C report every failure below them as a damaged file. `failure` tells an outage of the network
    from damage.
    """

    def __init__(self, blocks: Any) -> None:
        self.blocks = blocks
        self.size: int = blocks.size
        self.failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self.blocks.seek(offset, whence))

    def tell(self) -> int:
        return int(self.blocks.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            return int(self.blocks.readinto(buffer))
        except Exception as error:
            self.failure = self.failure or error
            raise
