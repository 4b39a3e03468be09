"""Words of sentences that people read."""


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 file", "2 files".

    Parameters
    ----------
    count : how many there are
    noun : a word whose plural ends in s, alone or as the first of several ("step", "value")
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
