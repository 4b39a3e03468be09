"""The notebooks of examples run from their first cell to the last on a tiny product, and are kept without outputs."""

import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
# What a notebook must have shown, in the names of its own cells, and how many pictures it draws.
SHOWS = {
    "drought": (
        "assert -10 < float(anomaly.min()) < -1 and 0 < float(dry_share.max()) <= 100\n"
        "assert 0.05 < level < 0.6 and 0 < regional_uncertainty < 0.3",
        2,
    ),
    "new_station": (
        "ours = judged[judged['archive'] == 'ours'].set_index('sensor')\n"
        "assert list(ours['kept']) == [True, False] and 'no layer' in ours.loc['swc_80', 'reason']\n"
        "assert scores['days'] > 100 and abs(scores['bias (m3 m-3)']) < 0.2 and -1 <= scores['correlation'] <= 1\n"
        # Percent with two decimals, back in m3 m-3, plus the difference of level that the notebook invents.
        "assert abs(measured - series - 0.03).max() < 1e-4",
        1,
    ),
    "comparison": (
        "both = (ours.notnull() & theirs.notnull()).all('time')\n"
        "assert correlation.notnull().equals(both) and int(both.sum()) > 40\n"
        "assert ours.sizes == theirs.sizes and ours.sizes['time'] > 300",
        2,
    ),
}


def test_there_are_three():
    assert [path.stem for path in EXAMPLES] == sorted(SHOWS)


@pytest.fixture(scope="module")
def kernel(tiny_released, tiny_sources):
    """One kernel for all notebooks, as importing costs more than any of them; each begins with an empty namespace."""
    # Importing it takes seconds, which whoever runs other tests spares.
    from jupyter_client import KernelManager

    declaration, root = tiny_released
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SOMO_EXAMPLE": root,
        "SOMO_EXAMPLE_DECLARATION": str(declaration),
        "SOMO_EXAMPLE_REFERENCE": f"{tiny_sources}/era5land/home/swvl_*.nc",
    }
    # Sockets in a folder of this user alone: over TCP whoever reaches the ports could run code. Their paths may have
    # hundred letters, fewer than pytest's folders have.
    with tempfile.TemporaryDirectory(prefix="somo-kernel-") as folder:
        manager = KernelManager(transport="ipc", connection_file=f"{folder}/kernel.json")
        manager.start_kernel(env=environment)
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=120)
        yield client
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_cell(kernel, source, where):
    """Contents of the messages that a cell sends: what it prints, shows and draws."""
    messages = []
    reply = kernel.execute_interactive(
        source, timeout=300, output_hook=lambda message: messages.append(message["content"])
    )
    assert reply["content"]["status"] == "ok", f"{where}: {reply['content']['ename']}: {reply['content']['evalue']}"
    return messages


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_promises(path, kernel, tmp_path):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    promised, pictures = SHOWS[path.stem]
    run_cell(kernel, f"%reset -f\nimport os\nos.chdir({str(tmp_path)!r})", "the empty namespace")
    shown = [
        message
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        for message in run_cell(kernel, cell.source, f"{path.name}, cell {number}")
    ]
    run_cell(kernel, promised, f"what {path.name} promises")
    # A warning of a library in a notebook is the first thing that a reader asks about.
    assert not [message["text"] for message in shown if message.get("name") == "stderr"]
    assert sum("image/png" in message.get("data", {}) for message in shown) == pictures


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    code = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
