"""What goes wrong with clusters."""

from importlib.util import find_spec


class ClusterError(OSError):
    """No cluster to work on, or one that was lost; the text names it and the remedy."""


def require_extra(module: str, extra: str) -> None:
    """Refuse a kind of cluster whose package this environment does not have.

    Raises
    ------
    ClusterError
        naming the kind and the package's extra
    """
    if find_spec(module) is None:
        raise ClusterError(
            f'[cluster] kind = "{extra}" needs {module}, which is not installed: pip install "somo[{extra}]"'
        )
