"""What is printed is what was meant: names from files are no markup."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from flows.command.cli import COMMANDS, main
from flows.command.making import next_step
from flows.console import console, output
from flows.environment import load_product
from tests.flows.conftest import TINY


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


def test_help_imports_no_library_of_the_work() -> None:
    """What is loaded decides how quick the help is: a few tenths of a second in place of several."""
    code = (
        "import sys; from flows.command.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'xarray', 'zarr', 'fsspec', 'distributed', 'torch', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f" {command} " in done.stdout
    assert "every problem" in done.stdout.replace("\n", " ")


def test_prefect_is_not_imported_before_its_settings_are_made() -> None:
    """It reads them when it is imported: its server for one run would start without a password."""
    modules = "flows.command.making, flows.command.models, flows.command.published, flows.service.demo"
    # Nor is what only a few figures need: it would take most of the time of a run that finds nothing to do.
    modules += ", flows.stages.validate"
    code = f"import sys, {modules}; assert not {{'prefect', 'scipy.stats', 'torch', 'matplotlib'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_command_is_where_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0 and "Usage: " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["sensor"])
    assert "Did you mean 'sensors'" in capsys.readouterr().err


def test_a_complete_version_that_is_not_released_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMO_TINY", str(tmp_path))
    product = load_product(TINY)
    told = next_step(TINY, product, str(tmp_path))
    assert told.startswith(f"Next: `somo release {TINY} --root {tmp_path}`") and f'version="{product.version}"' in told
    (tmp_path / "latest.json").write_text(f'{{"version": "{product.version}"}}')
    assert next_step(TINY, product, str(tmp_path)) == f'Read it with somo.open("{tmp_path}")'
