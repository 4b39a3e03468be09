"""Dask behind the address of a scheduler that runs already."""

from contextlib import AbstractContextManager, nullcontext

from flows.cluster.errors import ClusterError
from somo.product.method import Cluster


def start(declared: Cluster) -> AbstractContextManager[str]:
    """The scheduler's address; nothing is started and nothing is closed."""
    if declared.address is None:
        raise ClusterError('[cluster] kind = "address" without address; add address = "tls://host:8786"')
    return nullcontext(declared.address)
