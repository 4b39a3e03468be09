"""What is printed is what was meant: names from files are no markup."""

import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from flows.console import console, output


@pytest.mark.parametrize("shown", [console, output])
def test_names_with_markup_are_printed_as_they_are(
    shown: Console, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "station [/red] [link=https://elsewhere.example]here"
    # Neither `file` nor `width`: both are properties, and putting their old values back would fix them for good.
    monkeypatch.setattr(shown, "_width", 200)
    shown.print(name)
    table = Table("detail")
    table.add_row(name)
    shown.print(table)
    assert "".join(capsys.readouterr()).count(name) == 2


def test_a_pipe_gets_lines_unbroken() -> None:
    """Messages that are not read at a terminal keep a URL in one line, however long."""
    url = "s3://bucket/" + 12 * "a-long-folder/"
    code = f"from flows.console import console; console.print('Europe in {url}: to do: produce, publish')"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert piped.stderr == f"Europe in {url}: to do: produce, publish\n"
