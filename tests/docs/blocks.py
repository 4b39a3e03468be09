"""Code blocks of the documentation, and what their source says about running them.

A comment straight above a block says why it is not run (`<!-- not run: reason -->`) or which other test runs it
(`<!-- run by: file -->`). Every other block of a language that runs is run by `test_code_blocks.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOM = Path(__file__).parents[2]
PAGES = (ROOM / "README.md", ROOM / "CONTRIBUTING.md", *sorted((ROOM / "docs").glob("*.md")))
FENCE = re.compile(r"(?:<!-- (not run|run by): ([^\n]+?) -->\n)?```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page and line, its language, its text, and the words about it above the fence."""

    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Every fenced block of the README and of docs."""
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text[: match.start(4)].count("\n")
            yield Block(str(page.relative_to(ROOM)), line, match[3], match[4], match[1] or "", match[2] or "")
