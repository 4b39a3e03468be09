"""What goes wrong with clusters."""

from importlib.util import find_spec


class ClusterError(OSError):
    """No cluster to work on, or one that was lost; the text names it and the remedy."""


def require_package(module: str, kind: str) -> None:
    """Refuse a kind of cluster whose package this environment does not have.

    Raises
    ------
    ClusterError
        naming the kind and the package
    """
    if find_spec(module) is None:
        package = module.replace("_", "-")
        raise ClusterError(f'[cluster] kind = "{kind}" needs {package}, which is not installed: pip install {package}')
