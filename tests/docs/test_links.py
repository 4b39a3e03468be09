"""Every relative link of the repository's pages leads to a file, and its anchor to a heading of that file."""

import json
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in (
        "*.md",
        "docs/*.md",
        "examples/*.md",
        "examples/*.ipynb",
        "infra/*.md",
        ".github/**/*.md",
        "somo/publish/viewer/*.md",
    )
    for page in ROOM.glob(pattern)
)
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page):
    """A page's text; of a notebook that of its Markdown cells."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def links(page):
    """Targets of a page's links, without what stands in code."""
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    text = re.sub(r"`[^`\n]*`(?!\])", "", text)
    return [match[1] or match[2] for match in LINK.finditer(text)]


@lru_cache
def anchors(page):
    """Anchors of a page's headings as GitHub and MyST make them."""
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    headings = re.findall(r"^#{1,6}\s+(.+?)\s*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOM)))
def test_links_lead_somewhere(page):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name}: {link}: no such file"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {link}: {file.name} has no such heading"


def test_links_are_found():
    assert sum(len(links(page)) for page in PAGES) > 40


def test_what_the_table_of_troubles_quotes_is_what_is_said() -> None:
    """An operator searches that table for the words of an error."""
    table = (ROOM / "docs" / "operating.md").read_text().partition("## What to do when")[2]
    quoted = re.findall(r'"([^"]+)"', "".join(row.split("|")[1] for row in table.splitlines() if row.startswith("| ")))
    assert len(quoted) >= 8
    sources = "".join(path.read_text() for room in ("somo", "flows") for path in (ROOM / room).rglob("*.py"))
    # Sentences are broken over lines of the source.
    sentences = re.sub(r'"\s*f?"', "", sources)
    assert [words for words in quoted if words not in sentences and words != "late"] == []
