"""Whether this container's service does its work, as the health checks of the compose file ask.

`python -m flows.service.checkup.ready s3 | dask-worker` ends with status 0 if it does.

An open port says little: S3 has to sign a put, in a bucket that is made where there is none yet, and a Dask worker has
to be known to its scheduler.
"""

import asyncio
import socket
import sys
from pathlib import Path

from flows.environment import inherited
from flows.service.access import split
from flows.service.s3server import S3Server
from flows.service.services import Place

SECONDS = 8


def s3(place: Place, bucket: str) -> bool:
    """Whether a signed put into the bucket succeeds; asked inside S3's own container, which holds its identities."""
    return S3Server(Path(place.secrets) / "s3", bucket, port=place.ports["s3"]).healthy()


def dask_worker() -> bool:
    """Whether the scheduler knows a worker of this host."""
    from distributed import Security
    from distributed.core import rpc

    async def known() -> bool:
        options = Security().get_connection_args("worker")
        async with rpc(inherited("SOMO_CLUSTER_ADDRESS")["SOMO_CLUSTER_ADDRESS"], connection_args=options) as scheduler:
            workers = (await scheduler.identity(n_workers=-1))["workers"].values()
            ours = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), None)}
            return any(worker["host"] in ours for worker in workers)

    return asyncio.run(asyncio.wait_for(known(), SECONDS))


if __name__ == "__main__":
    from flows.service.containers import DEPLOYED, PLACE

    bucket = split({**DEPLOYED, **inherited("SOMO_ROOT")}["SOMO_ROOT"])[0]
    sys.exit(0 if (s3(PLACE, bucket) if sys.argv[1] == "s3" else dask_worker()) else 1)
