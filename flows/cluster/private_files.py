"""Files with secrets: closed to others before they hold anything, and whole or not there at all."""

import os
from pathlib import Path
from uuid import uuid4


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file in one step, unless these are its bytes and rights already; its owner stays.

    Programs read such files while a stack asks for its secrets again and again, and a machine may stop in between: what
    was emptied first and filled afterwards would be found empty.
    """
    former = path.stat() if path.is_file() and not path.is_symlink() else None
    if former is not None and former.st_mode & 0o777 == mode and path.read_bytes() == content:
        return
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            # Else a file system may have the new name on disk before what it stands for.
            file.flush()
            os.fsync(file.fileno())
        # Root has given the files of containers to their user.
        if former is not None and os.geteuid() == 0:
            os.chown(temporary, former.st_uid, former.st_gid)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
