"""What goes wrong with services."""


class StackError(OSError):
    """A service that cannot be started or does not become healthy; the text names it and the remedy."""
