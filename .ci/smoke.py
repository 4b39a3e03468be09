"""Does an environment just made work: do the packages import, does Prefect's server start and run a flow?

Versions whose metadata fit each other have kept Prefect from starting, and a clean `uv pip check` does not tell.
"""

import importlib
import importlib.metadata
import pkgutil

import torch
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

import flows
import somo


@flow
def added(summands: list[int]) -> int:
    """The sum, to see a flow run."""
    return sum(summands)


def main() -> None:
    """Import every module of the product, then run a flow on a server of its own."""
    modules = [
        module.name
        for package in (somo, flows)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    ]
    for name in modules:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    with prefect_test_harness(server_startup_timeout=120):
        if added([1, 2]) != 3:
            raise SystemExit("a flow of Prefect gave a wrong result")
    prefect = importlib.metadata.version("prefect")
    print(f"{len(modules)} modules import; torch {torch.__version__}; Prefect {prefect} runs flows")


if __name__ == "__main__":
    main()
