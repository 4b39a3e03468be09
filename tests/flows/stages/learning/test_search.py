import json
import os
import signal
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client, LocalCluster

from flows.stages.learning.search import (
    TABLE,
    Trial,
    distributions,
    ended_trial,
    new_study,
    require_searchable,
    search_samples,
    should_prune,
    variant,
)
from somo.learn.samples import write_training_set
from somo.product.declaration import Product, ProductError
from tests.learn import made

SPACE = {
    "network.hidden": (2, 4),
    "training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
    "sequence.lookback": {"low": 5, "high": 21},
}


def product(**search) -> Product:
    forcing = {name: {"url": "f.nc", "variable": name, "units": "K"} for name in ("precipitation", "air_temperature")}
    training = {**made.TRAINING.model_dump(), "folds": 2, "epochs": 2}
    return Product.model_validate(
        {
            "name": "Tiny",
            "period": {"start": "2019-12-21"},
            "grid": {"kind": "forcing", "step_deg": 0.1},
            "layers": [{"name": n, "top_m": t, "bottom_m": t + 0.1} for n, t in (("layer1", 0.0), ("layer2", 0.1))],
            "forcing": forcing,
            "static": {n: {"url": "s.nc", "variable": n} for n in ("sand", "elevation")},
            "insitu": [{"name": "net", "url": "net"}],
            "targets": {"scaling": "none"},
            "network": made.NETWORK.model_dump(),
            "sequence": made.SEQUENCE.model_dump(),
            "training": training,
            "search": {"trials": 4, "sampler": "random", "pruner": "none", "space": SPACE, **search},
        }
    )


@pytest.fixture
def samples(tmp_path):
    url = str(tmp_path / "samples.safetensors")
    write_training_set(url, made.training_set())
    return url


def ended(url: str) -> dict[int, Trial]:
    found = (Trial(**json.loads(p.read_text())) for p in Path(url, "ended").iterdir())
    return {trial.number: trial for trial in found}


@pytest.mark.fault
def test_a_killed_worker_changes_no_trial(samples, tmp_path):
    """SIGKILL in the middle of a trial: the same trials with the same scores as without, each once."""
    declared = product()
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        calm = ended(search_samples(declared, str(tmp_path / "calm"), samples, client))
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=kill_in_the_middle, args=(victim, tmp_path / "killed"))
        killer.start()
        killed = ended(search_samples(declared, str(tmp_path / "killed"), samples, client))
        killer.join()
        assert victim not in client.run(os.getpid).values()
    assert sorted(killed) == [0, 1, 2, 3]
    assert killed == calm


def kill_in_the_middle(pid: int, root: Path) -> None:
    """Kill once the first trial has trained one network."""
    while not list(root.glob("search/*/trials/*/*/layer1/member0.json")):
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)


def test_a_search_goes_on_where_it_stopped(samples, tmp_path, client):
    root = str(tmp_path / "root")
    url = search_samples(product(trials=2), root, samples, client)
    first = ended(url)
    (Path(url) / "ended" / "1.json").unlink()
    # What a run leaves that was killed while it wrote a proposal.
    (Path(url) / "asked" / ".2.json.0a1b2c3d").write_bytes(b"{")
    assert search_samples(product(trials=3), root, samples, client) == url
    again = ended(url)
    assert sorted(again) == [0, 1, 2]
    assert {k: again[k] for k in first} == first
    table = pd.read_parquet(f"{url}/{TABLE}")
    assert len(table) == 3
    assert table["r"].is_monotonic_decreasing
    assert (Path(url) / "trials.png").read_bytes()[:4] == b"\x89PNG"


def test_space_in_words():
    assert list(distributions(product())) == ["network.hidden", "sequence.lookback", "training.learning_rate"]
    changed = variant(product(), {"network.hidden": 4, "sequence.lookback": 7})
    assert (changed.network.hidden, changed.sequence.lookback) == (4, 7)
    assert changed.network.dropout == made.NETWORK.dropout


def test_nothing_to_search_and_too_long_a_lookback():
    with pytest.raises(ProductError, match="is empty; add for example"):
        require_searchable(product(space={}))
    with pytest.raises(ProductError, match="tries 30, but forcing is prepared for sequence"):
        require_searchable(product(space={"sequence.lookback": (5, 30)}))
    with pytest.raises(ValueError, match=r"space names 'network.wide'"):
        product(space={"network.wide": (1, 2)})


def test_a_poor_trial_is_given_up():
    """After two folds its mean of 0.15 lies below the median 0.9 of five ended trials at that fold."""
    declared = product(pruner="median")
    study = new_study(declared)
    values = {"network.hidden": 2, "training.learning_rate": 0.01, "sequence.lookback": 9}
    for number in range(5):
        study.add_trial(ended_trial(declared, Trial(number, values, (0.9, 0.9, 0.9))))
    assert should_prune(declared, study, Trial(5, values, (0.1, 0.2)))
    assert not should_prune(declared, study, Trial(5, values, (0.9, 0.95)))
