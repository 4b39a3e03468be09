"""Dask behind the address of a scheduler that runs already."""

from contextlib import AbstractContextManager, nullcontext

from somo.product.cluster import SchedulerAddress


def start(declared: SchedulerAddress) -> AbstractContextManager[str]:
    """The scheduler's address; nothing is started and nothing is closed."""
    return nullcontext(declared.address)
