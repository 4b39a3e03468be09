"""The three real cases with one member a layer: skill at cells held back, a map without holes, the report's figures."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """A real case and what one member must reach.

    Attributes
    ----------
    name : of the declaration and of the folder of the case
    cells : that have forcing, all of which are predicted
    epochs, folds : fewer than declared, with which one member reaches what it must
    pearson_r : per layer, least median over held-back cells
    ubrmsd : per layer, largest median over held-back cells, m3 m-3
    transfer : least median pearson_r of the first layer in a region that was not learnt from
    deeper_is_longer : whether every layer remembers longer than the one above
    """

    name: str
    cells: int
    epochs: int
    folds: int
    pearson_r: dict[str, float]
    ubrmsd: dict[str, float] = field(default_factory=dict)
    transfer: float = 0.0
    deeper_is_longer: bool = False


CASES = (
    Case("us-grid", 412, 6, 3, {"layer1": 0.77}, {"layer1": 0.037}, transfer=0.5),
    Case("us-stations", 133, 16, 3, {"layer1": 0.78, "layer2": 0.67, "layer3": 0.62}),
    Case(
        "eu-basins", 6, 9, 3, dict.fromkeys(("layer1", "layer2", "layer3"), 0.88), transfer=0.85, deeper_is_longer=True
    ),
)


@pytest.fixture(scope="session")
def cases_folder(request: pytest.FixtureRequest) -> Path:
    """Folder of the real cases; without it nothing here can be told, so its absence is a failure."""
    folder = Path(os.environ.get("SOMO_REAL", request.config.rootpath.parent / "shared" / "real"))
    missing = [case.name for case in CASES if not (folder / case.name / "static.nc").is_file()]
    if missing:
        pytest.fail(f"{folder} lacks the real cases {', '.join(missing)}; export SOMO_REAL=the folder that holds them")
    return folder


@dataclass(frozen=True)
class Made:
    """A case after `somo run`: out-of-fold predictions and the published version."""

    case: Case
    crossval: pd.DataFrame
    version: Path


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def made(request: pytest.FixtureRequest, cases_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One case, run with one member from its files to its report."""
    case: Case = request.param
    folder = tmp_path_factory.mktemp(case.name)
    declaration = folder / f"{case.name}.toml"
    text = (HERE / declaration.name).read_text()
    fewer = {"members": 1, "fold_members": 1, "epochs": case.epochs, "folds": case.folds}
    declaration.write_text(shortened(text, fewer))
    somo = Path(sys.executable).with_name("somo")
    # One worker: other tests run beside this one, and each worker imports its modules anew.
    settings = {"SOMO_REAL": str(cases_folder), "OMP_NUM_THREADS": "1", "SOMO_CLUSTER_WORKERS": "1"}
    done = subprocess.run(
        [somo, "run", declaration, "--root", folder / "root", "-q"], env={**os.environ, **settings},
        capture_output=True, text=True, check=False, timeout=1700,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [table] = (folder / "root" / "models").glob("*/crossval.parquet")
    return Made(case, pd.read_parquet(table), folder / "root" / "v1.0.0")


def shortened(text: str, values: dict[str, int]) -> str:
    """The declaration with other values of some keys."""
    for key, value in values.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
        assert count == 1, f"{key} stands {count} times in the declaration"
    return text


def medians(table: pd.DataFrame, column: str) -> dict[str, dict[str, float]]:
    """Per layer, median over cells of pearson_r and ubrmsd of a column of predictions."""
    scores = [
        (layer, part["y"].corr(part[column]), (part[column] - part["y"]).std(ddof=0))
        for (layer, _), part in table.groupby(["layer", "cell"])
    ]
    by_layer = pd.DataFrame(scores, columns=["layer", "pearson_r", "ubrmsd"]).groupby("layer")
    return by_layer.median().to_dict("index")


def test_network_predicts_cells_it_has_not_seen(made: Made) -> None:
    network, ridge = medians(made.crossval, "y_hat"), medians(made.crossval, "y_ridge")
    print(f"{made.case.name}: network {network}, ridge {ridge}")
    for layer, least in made.case.pearson_r.items():
        assert network[layer]["pearson_r"] >= least, f"{layer}: {network[layer]}"
        assert network[layer]["pearson_r"] > ridge[layer]["pearson_r"], f"{layer}: ridge {ridge[layer]}"
    for layer, most in made.case.ubrmsd.items():
        assert network[layer]["ubrmsd"] <= most, f"{layer}: {network[layer]}"


def test_every_cell_with_forcing_is_predicted(made: Made) -> None:
    with xr.open_zarr(made.version / "soil_moisture.zarr", chunks=None) as store:
        mean = store["soil_moisture"].transpose("depth", "time", "lat", "lon").values
    filled = np.isfinite(mean)
    land = filled.any(axis=(0, 1))
    assert land.sum() == made.case.cells
    assert filled[..., land].all()
    assert len(made.case.pearson_r) == mean.shape[0]


def test_figures_of_the_paper_say_what_is_known(made: Made) -> None:
    report = json.loads((made.version / "report" / "report.json").read_bytes())
    found = {section["name"]: section for section in report["sections"]}
    assert set(found) >= {"fig2", "fig3", "fig4", "figS2", "figS3", "figS4"}
    memory, drops, transfer = found["fig3"]["memory_days"], found["figS2"]["r_drop"], found["fig4"]["network"]
    print(f"{made.case.name}: memory {memory}, r lost {drops}, transfer {transfer['layer1']['pearson_r']:.2f}")
    days = [memory[layer] for layer in made.case.pearson_r]
    assert min(days) > 1
    assert days == sorted(days) or not made.case.deeper_is_longer
    assert all(drop["precipitation"] > 0.05 for drop in drops.values())
    assert transfer["layer1"]["pearson_r"] > made.case.transfer
