"""Everything secret that the services need, made once: certificates, S3 identities, passwords."""

import secrets
from pathlib import Path

from flows.cluster.certificates import write_certificates
from flows.service.s3server import S3Server
from flows.service.services import Place, prometheus_settings

PUBLIC = ("v*", "catalog.json*", "latest.json*", "viewer/*")
"""Each with a star: SeaweedFS matches the beginning of a key, and lets nobody read one named without a star."""


def write_credentials(folder: Path, place: Place, root: str) -> dict[str, str]:
    """Fill a folder that only its owner may read, and keep what it holds already; returns the variables.

    `ca.pem`, `node.pem`, `node.key` for Dask; `s3.json` with what each S3 identity may do; `secrets.env` with one
    `NAME=value` a line; `prometheus.yml`.

    Parameters
    ----------
    root : s3://bucket/prefix; the service may write below it and nothing else, anyone may read what is published there
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    write_certificates(folder)
    (folder / "prometheus.yml").write_text(prometheus_settings(place))
    path = folder / "secrets.env"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}={value}\n" for name, value in _new(folder, place, root).items()))
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def _new(folder: Path, place: Place, root: str) -> dict[str, str]:
    password, user = secrets.token_urlsafe(18), f"somo:{secrets.token_urlsafe(18)}"
    database = f"{place.host('postgres')}:{place.ports['postgres']}/postgres"
    keys = identities(folder, place, root).environment("service")
    return {
        "POSTGRES_PASSWORD": password,
        "PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://prefect:{password}@{database}",
        "PREFECT_SERVER_API_AUTH_STRING": user,
        "PREFECT_API_AUTH_STRING": user,
        "AWS_ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
    }


def identities(folder: Path, place: Place, root: str) -> S3Server:
    """The S3 server as its administrator, as the service, and as everybody see it."""
    bucket, _, prefix = root.removeprefix("s3://").partition("/")
    under = f"{bucket}/{prefix}"
    service = ("Read", "List", *(f"{action}:{under}/*" for action in ("Write", "Tagging")))
    return S3Server(folder, bucket, [f"{under}/{name}" for name in PUBLIC], {"service": service}, place.ports["s3"])
