"""What goes wrong with clusters."""


class ClusterError(OSError):
    """No cluster to work on, or one that was lost; the text names it and the remedy."""
