"""Certificates of one run: nobody else on its machines may talk to its scheduler and workers, which run any code."""

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Scheduler, Security

from flows.cluster.certificates import FILES, write_certificates
from flows.cluster.dashboard import new_login, require_login
from flows.cluster.errors import ClusterError


def foreign(folder: Path) -> str:
    """Why secrets and locks of ours may not lie in a folder; "" if they may.

    Who may write to a folder without the sticky bit may put another folder in the place of ours, certificates and all.
    """
    about = folder.stat()
    if about.st_uid not in (0, os.geteuid()):
        return f"belongs to another user ({about.st_uid})"
    return "may be written by others" if about.st_mode & 0o022 and not about.st_mode & stat.S_ISVTX else ""


@contextmanager
def shared_certificates(folder: Path) -> Iterator[Security]:
    """Certificates in a new folder that only its owner enters, inside one that all nodes see; gone at the end.

    Raises
    ------
    ClusterError
        if the folder cannot be written, or is in the hands of others
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if reason := foreign(folder):
            raise PermissionError(errno.EPERM, reason)
        private = tempfile.TemporaryDirectory(prefix="tls-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise ClusterError(
            f"{folder}: certificates cannot be written there ({error.strerror}); "
            "give a folder that you own and that all nodes see as [cluster] shared_folder"
        ) from error
    with private as name:
        write_certificates(Path(name))
        authority, certificate, key = (str(Path(name, file)) for file in FILES)
        pairs = {f"tls_{role}_{file_kind}": path for role in ("scheduler", "worker", "client")
                 for file_kind, path in (("cert", certificate), ("key", key))}  # fmt: skip
        yield Security(require_encryption=True, tls_ca_file=authority, **pairs)


def close_dashboard(scheduler: Scheduler) -> None:
    """Put the dashboard of a scheduler in this process behind a login that only the link given to its user holds."""
    login = new_login()
    require_login(scheduler, login)
    dask.config.set({"distributed.dashboard.link": f"http://{login}@{{host}}:{{port}}/status"})
