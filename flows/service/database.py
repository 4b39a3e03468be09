"""PostgreSQL on this machine: its programs, where its data may lie, and its first start."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from flows.service.errors import StackError

USER = "postgres"
HOME_OF_USER = Path("/var/lib/postgresql")


def programs() -> str:
    """Folder of the newest PostgreSQL programs; Debian keeps them off the PATH.

    Raises
    ------
    StackError
        if PostgreSQL is not installed
    """
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not versions:
        raise StackError("PostgreSQL is not installed; apt-get install postgresql")
    return str(versions[-1])


def as_its_user(command: list[str]) -> list[str]:
    """A command of PostgreSQL, which refuses to run as root."""
    return ["runuser", "-u", USER, "--", *command] if os.geteuid() == 0 else command


def data_folder(folder: Path) -> Path:
    """Where the data of a stack in `folder` lies: inside it, unless root started it where PostgreSQL's user may not go.

    Root's home is such a place. The data then lies in the home of PostgreSQL's user, under the stack's own name.
    """
    entered = (folder, *folder.parents)
    if os.geteuid() != 0 or all(path.stat().st_mode & 0o001 for path in entered if path.exists()):
        return folder / "data" / "postgres"
    return HOME_OF_USER / f"somo-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def initialise(data: Path, password: str) -> None:
    """Make an empty database, unless there is one.

    Raises
    ------
    StackError
        with what PostgreSQL says
    """
    if (data / "PG_VERSION").exists():
        return
    if data.exists() and any(data.iterdir()):
        raise StackError(
            f"PostgreSQL in {data}: the folder holds no database and is not empty; move away what is in it"
        )
    # PostgreSQL writes its version first: the folder gets its name once all else is there, so that nobody starts a
    # database that was killed in the making. What was killed may still write for a moment, where nobody else does.
    data.parent.mkdir(parents=True, exist_ok=True)
    for killed in data.parent.glob(f"{data.name}.unfinished-*"):
        shutil.rmtree(killed, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{data.name}.unfinished-", dir=data.parent))
    password_file = data.with_name(f"{data.name}.password")
    # A file that lies there already may be open to others, or a link to one.
    password_file.unlink(missing_ok=True)
    # PostgreSQL's user owns the folder where root starts it from a place of its own, and could lay a link to a file of
    # root's in the place of either: nothing is written or given away by its name.
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER).pw_uid
            os.fchown(file.fileno(), user, -1)
            os.chown(unfinished, user, -1, follow_symlinks=False)
    command = [
        f"{programs()}/initdb", "-D", str(unfinished), "-U", "prefect", "-A", "scram-sha-256",
        f"--pwfile={password_file}", "-E", "UTF8", "--no-locale",
    ]  # fmt: skip
    # PostgreSQL's user may not enter the folder that this command was called in.
    done = subprocess.run(as_its_user(command), capture_output=True, text=True, check=False, cwd="/")
    password_file.unlink()
    if done.returncode:
        raise StackError(
            f"PostgreSQL in {data}: {done.stderr.strip() or f'initdb ended with status {done.returncode}'}"
        )
    unfinished.rename(data)
