"""Updates that go on from the networks' states: the bytes of one run over all days, at the price of the new days."""

import datetime as dt
import re

import numpy as np
import pytest
import xarray as xr

from flows import results
from flows.cluster.watching import completed
from flows.stages import produce as stage
from flows.stages.ingest import ingest
from flows.stages.production.price import price_of
from flows.stages.production.region import Produced
from somo.predict import states as module
from somo.predict.states import State, day_digests, first_changed_row, list_states, read_state, write_state
from somo.publish.manifest import shown_objects
from tests.flows.stages.test_produce import Prepared, checksums
from tests.predict import made

CELLS, NETWORKS, LAST = 79, 4, dt.date(2020, 2, 28)
OPEN = {"period": {"start": "2020-01-15"}}
START = dt.date(2020, 1, 15)


def provisional(days, sources):
    """Two forcing variables of which the first is provisional for some days."""
    t2m = {"url": f"{sources}/t2m_{{year}}.nc", "variable": "t2m", "units": "K", "provisional_days": days}
    precipitation = {"url": f"{sources}/tp_{{year}}.nc", "variable": "tp", "units": "mm d-1"}
    return {"forcing": {"air_temperature": t2m, "precipitation": precipitation}}


def published(root, version="1.0.0"):
    """SHA-256 of every object that readers are shown, whatever the side of its key, metadata apart."""
    folder = root / f"v{version}"
    shown = shown_objects(str(folder))
    found = checksums(folder, ".")
    return {re.sub(r"/c\.([\d.]+)$", lambda m: "/c/" + m[1].replace(".", "/"), key): found[key]
            for key in shown if not key.endswith("zarr.json")}  # fmt: skip


class Updated(Prepared):
    """A root that is brought up to one day after the other, and what its regions cost."""

    def __init__(self, folder, client, monkeypatch, last=LAST, **changes):
        folder.mkdir(exist_ok=True)
        super().__init__(folder, client, f"{last}", **{**OPEN, **changes})
        self.monkeypatch = monkeypatch

    def produce(self):
        costs = []

        def counted(futures, description):
            for cost in completed(futures, description):
                costs.append(cost)
                yield cost

        with self.monkeypatch.context() as patch:
            patch.setattr(stage, "completed", counted)
            version = super().produce()
        self.cost = sum(costs, Produced(0))
        return version

    @property
    def states(self):
        return list_states(self.wanted().job.states)


@pytest.fixture
def once(tmp_path, client, monkeypatch):
    """A root made in one run up to a day, with the sources of another."""

    def make(last, name="once", **changes):
        root = Updated(tmp_path / name, client, monkeypatch, last, **changes)
        root.produce()
        return root

    return make


def test_ten_updates_of_a_day_each_equal_one_run(tmp_path, client, monkeypatch, once):
    grown = Updated(tmp_path / "grown", client, monkeypatch)
    grown.produce()
    assert (grown.cost.continued, grown.cost.begun, grown.cost.steps) == (0, 15, (30 + 30 + 15) * CELLS * NETWORKS)
    for day in range(1, 11):
        grown.until(f"{LAST + dt.timedelta(day)}")
        grown.produce()
        assert grown.cost.steps == 1 * CELLS * NETWORKS
        assert (grown.cost.continued, grown.cost.begun, grown.cost.rejected) == (5, 0, 0)
        assert len(grown.states) == 5
    assert published(grown.root) == published(once(LAST + dt.timedelta(10)).root)


def test_a_block_that_is_complete_needs_no_state(tmp_path, client, monkeypatch, once):
    grown = Updated(tmp_path / "grown", client, monkeypatch, dt.date(2020, 3, 10))
    grown.produce()
    assert {state.days for state in grown.states} == {16}
    grown.until("2020-03-14")
    grown.produce()
    assert grown.states == []
    grown.until("2020-03-18")
    grown.produce()
    assert grown.cost.begun == 5
    assert {state.region[:5] for state in grown.states} == {"b0003"}


def test_provisional_days_are_run_again_from_the_last_final_day(tmp_path, client, monkeypatch, once):
    declared = provisional(6, tmp_path / "grown" / "sources")
    grown = Updated(tmp_path / "grown", client, monkeypatch, dt.date(2020, 3, 8), **declared)
    grown.produce()
    assert {(s.region[:5], s.days) for s in grown.states} == {("b0002", 8)}
    grown.until("2020-03-10")
    wanted = grown.wanted()
    price, copies = price_of(wanted), len(wanted.copies)
    grown.produce()
    assert grown.cost.steps == price.steps == (6 + 2) * CELLS * NETWORKS
    # Days that readers see already change, so that the blocks before are shown by second names on the other side.
    # Of each of five regions the shards of four fields, its record and its state.
    written = 5 * (4 + 1 + 1)
    assert copies and (price.days, price.objects) == (6 + 2, written + copies)
    assert price.seconds > 0
    assert re.fullmatch(
        rf"8 days to compute, 0.00253 million steps, {written + copies} objects of \S+ MB to write, about \S+ s",
        f"{price}",
    )
    assert {(s.region[:5], s.days) for s in grown.states} == {("b0002", 10)}
    same = provisional(6, tmp_path / "once" / "sources")
    assert published(grown.root) == published(once(dt.date(2020, 3, 10), **same).root)


def deleted(_data):
    return None


def flipped(data):
    return data[:-100] + bytes([data[-100] ^ 4]) + data[-99:]


def of_other_cells(data):
    state = State.from_bytes(data)
    return State(state.days, state.digests, state.files, state.memory[:, :, :3]).to_bytes()


def test_states_that_are_no_use_are_as_if_there_were_none(tmp_path, client, monkeypatch, once):
    grown = Updated(tmp_path / "grown", client, monkeypatch)
    grown.produce()
    for days, (damage, rejected) in enumerate([(deleted, 0), (flipped, 5), (of_other_cells, 5)], start=1):
        for path in (grown.root / "states").rglob("*.state"):
            data = damage(path.read_bytes())
            path.unlink()
            if data is not None:
                path.write_bytes(data)
        grown.until(f"{LAST + dt.timedelta(days)}")
        grown.produce()
        assert (grown.cost.continued, grown.cost.begun, grown.cost.rejected) == (0, 5, rejected)
        assert len(grown.states) == 5
    assert published(grown.root) == published(once(LAST + dt.timedelta(3)).root)


def test_a_state_that_has_seen_other_forcing_is_not_used(tmp_path, client, monkeypatch):
    """A day of spin-up is replaced: days that follow are those of a fresh start over what is there now."""
    grown = Updated(tmp_path / "grown", client, monkeypatch)
    grown.produce()
    made.write_sources(grown.product, str(grown.sources), grown.sources, "2020-03-02")
    with xr.open_dataset(grown.sources / "t2m_2020.nc") as ds:
        ds.load()
    ds["t2m"].loc["2020-02-20"] += 3
    ds.to_netcdf(grown.sources / "t2m_2020.nc", encoding={"t2m": {"chunksizes": (1, 8, 12), "zlib": True}})
    grown.inputs = ingest(grown.product, str(grown.root), client)
    grown.produce()
    assert (grown.cost.continued, grown.cost.begun, grown.cost.rejected) == (0, 5, 5)
    assert len(grown.states) == 5


def test_files_that_are_the_same_are_not_read_again(tmp_path):
    state = State(3, np.zeros((70, 16), np.uint8), ("a", "b", "c"), np.zeros((1, 2, 1, 1), np.float32))
    assert first_changed_row(state, ("a", "b", "c")) == 70
    assert first_changed_row(state, ("a", "x", "c")) == 32
    assert first_changed_row(state, ("x", "b", "c")) == 0


def test_a_state_survives_its_bytes(tmp_path):
    rng = np.random.default_rng(0)
    x_d = rng.normal(size=(40, 7, 2)).astype("float32")
    state = State(9, day_digests(x_d), ("a", "b"), rng.normal(size=(4, 2, 7, 8)).astype("float32"))
    write_state(str(tmp_path), "b0000-r00-c01", state)
    (listed,) = list_states(str(tmp_path))
    assert (listed.region, listed.days) == ("b0000-r00-c01", 9)
    again = read_state(listed.url)
    assert (again.days, again.files) == (9, ("a", "b"))
    assert np.array_equal(again.digests, state.digests)
    assert np.array_equal(again.memory, state.memory)
    module.remove_states([listed, listed])
    assert list_states(str(tmp_path)) == []
    assert read_state(listed.url) is None


def test_a_new_day_trains_nothing(tmp_path, client, monkeypatch):
    grown = Updated(tmp_path / "grown", client, monkeypatch)
    names = []
    for day in ("2020-02-28", "2020-03-02"):
        grown.until(day)
        given = grown.product, str(grown.root), grown.inputs, "targets/a.parquet"
        names.append((results.samples_url(*given), results.models_url(*given)))
    assert names[0] == names[1]
