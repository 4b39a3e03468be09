"""Everything secret that the services need, made once: certificates, S3 identities, passwords."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from flows.cluster.certificates import write_certificates
from flows.cluster.dashboard import new_login
from flows.cluster.private_files import write_private
from flows.service.access import public_patterns, split
from flows.service.checkup.alerts import rules
from flows.service.s3server import SIGNING_KEYS, S3Server
from flows.service.services import DASHBOARD_LOGIN, PREFECT_SECRETS, Place, prometheus_settings


def write_credentials(folder: Path, place: Place, root: str) -> dict[str, str]:
    """Fill a folder that only its owner may enter, and keep what it holds already; returns the variables.

    `secrets.env` has one `NAME=value` a line. Files lie in a folder for each group of services, which sees no other:
    `dask/` certificates, `s3/` certificates and what each S3 identity may do, `prometheus/` settings and passwords.

    Parameters
    ----------
    root : s3://bucket/prefix; the service may write below it and nothing else, anyone may read what is published there
    """
    for each in (folder, folder / "dask", folder / "s3"):
        each.mkdir(parents=True, exist_ok=True)
        each.chmod(0o700)
    for name in ("dask", "s3"):
        write_certificates(folder / name)
    path = folder / "secrets.env"
    held = dict(line.split("=", 1) for line in path.read_text().splitlines()) if path.exists() else {}
    identities(folder / "s3", place, root).configure()
    wanted = {**_new_secrets(), **held}
    wanted |= _derived(folder / "s3", place, root, wanted["POSTGRES_PASSWORD"])
    write_private(path, "".join(f"{name}={value}\n" for name, value in wanted.items()).encode())
    _write_prometheus(folder / "prometheus", place, wanted)
    return wanted


def _new_secrets() -> dict[str, str]:
    user = new_login()
    return {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(18),
        "PREFECT_SERVER_API_AUTH_STRING": user,
        "PREFECT_API_AUTH_STRING": user,
        DASHBOARD_LOGIN: new_login(),
        **{name: secrets.token_hex(32) for name in SIGNING_KEYS},
    }


def _derived(folder: Path, place: Place, root: str, password: str) -> dict[str, str]:
    """Variables that follow from others, and from where the services are now: ports may differ from start to start."""
    database = f"{place.host('postgres')}:{place.ports['postgres']}/postgres"
    keys = identities(folder, place, root).environment("service")
    return {
        # No secret: the containers keep their results where these identities may write.
        "SOMO_ROOT": root,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://prefect:{password}@{database}",
        "AWS_ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
    }


def _write_prometheus(folder: Path, place: Place, held: Mapping[str, str]) -> None:
    """Settings, the passwords it scrapes with, and the users of its own interface with the hash that it asks for.

    Its container has another user than ours and reads them, since they are mounted; the folder above keeps others out.
    """
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    user, password = held[DASHBOARD_LOGIN].split(":")
    texts = {"prometheus.yml": prometheus_settings(place), "rules.yml": rules()}
    for job, login in (("dask", DASHBOARD_LOGIN), ("prefect", PREFECT_SECRETS[0]), ("prometheus", DASHBOARD_LOGIN)):
        texts[f"password-{job}"] = held[login].partition(":")[2]
    if not (folder / "web.yml").exists():
        hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
        texts["web.yml"] = f"basic_auth_users:\n  {user}: {hashed}\n"
    for name, text in texts.items():
        write_private(folder / name, text.encode(), mode=0o644)


def identities(folder: Path, place: Place, root: str) -> S3Server:
    """The S3 server as its administrator, as the service, and as everybody see it."""
    bucket, prefix = split(root)
    under = f"{bucket}/{prefix}"
    service = ("Read", "List", *(f"{action}:{under}*" for action in ("Write", "Tagging")))
    # Each with a star: SeaweedFS matches the beginning of a key, and lets nobody read one named without a star.
    public = [f"{under}{pattern.removesuffix('*')}*" for pattern in public_patterns()]
    return S3Server(folder, bucket, public, {"service": service}, place.ports["s3"])
