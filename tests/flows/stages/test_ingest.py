"""The ingest stage: incremental, idempotent, laid out by tile where it pays, static features."""

import datetime as dt
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flows import today
from flows.stages.ingest import ingest
from somo.forcing.dataset import open_forcing
from somo.forcing.references.reference_set import read_scans
from somo.forcing.sources import ForcingError
from somo.forcing.statics.static_file import open_static, static_url
from tests.forcing.conftest import LAT, LON, Sources


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "forcing").mkdir()
    return Sources(tmp_path / "forcing")


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "root")


def _objects(root):
    return {p: p.stat().st_mtime_ns for p in Path(root).rglob("*") if p.is_file()}


def test_a_second_run_reads_and_writes_nothing(sources, root, client):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    first = ingest(product, root, client)
    before = _objects(root)
    assert ingest(product, root, client) == first
    assert _objects(root) == before


def test_a_further_year_scans_only_the_new_file(sources, root, client):
    sources.write(2003)
    product = sources.product(end=None, training={"period": {"start": "2003-02-01", "end": "2003-11-30"}})
    first = ingest(product, root, client)["home"]
    sources.write(2004)
    before = set(Path(root).glob("references/scans/*"))
    second = ingest(product, root, client)["home"]
    (scanned,) = set(Path(root).glob("references/scans/*")) - before
    assert read_scans(str(scanned))[0].url.endswith("t2m_2004.nc")
    assert second.references != first.references
    assert second.static == first.static


def test_a_run_over_midnight_keeps_the_day_it_began_on(sources, root, client, monkeypatch):
    for year in (2003, 2004):
        sources.write(year)
    product = sources.product(end=None, training={"period": {"start": "2003-02-01", "end": "2003-11-30"}})
    clock = chain([dt.date(2003, 12, 31)], repeat(dt.date(2004, 1, 1)))
    monkeypatch.setattr(today, "by_the_clock", lambda: next(clock))
    with today.on_day():
        before = ingest(product, root, client)["home"]
        assert ingest(product, root, client)["home"] == before
    after = ingest(product, root, client)["home"]
    first, second = (open_forcing(product, "home", found.references) for found in (before, after))
    assert first["time"].values[-1] == np.datetime64("2003-12-31")
    assert second["time"].values[-1] == np.datetime64("2004-12-31")


def test_a_file_that_only_grew_keeps_the_name_of_the_static_features(sources, root, client):
    day = np.arange("2003-01-01", "2004-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = np.random.default_rng(1).uniform(270, 290, (365, 4, 5))
    product = sources.product(end=None, training={"period": {"start": "2003-02-01", "end": "2003-06-30"}})
    sources.write(2003, time=day[:200], values=values[:200])
    first = ingest(product, root, client)["home"]
    sources.write(2003, time=day, values=values)
    second = ingest(product, root, client)["home"]
    assert second.references != first.references
    assert second.static == first.static
    assert open_forcing(product, "home", second.references).sizes["time"] == 365


def test_static_features_are_the_climatology_of_the_files(sources, root, client):
    sources.write(2003)
    static = {
        "warmth": {"computed": "mean", "of": "air_temperature"},
        "spread": {"computed": "std", "of": "air_temperature"},
    }
    found = open_static(ingest(sources.product(end="2003-12-31", static=static), root, client)["home"].static)
    plain = sources.plain(2003).astype("float64")
    np.testing.assert_allclose(found["warmth"], plain.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found["spread"], plain.std(0, ddof=1), rtol=1e-4)
    assert found.attrs["features"] == "warmth,spread"
    assert found["land"].values.sum() == 19
    assert found["land"].values[0, 0] == 0


def test_tiles_smaller_than_the_files_chunks_make_a_cube(sources, root, client):
    sources.write(2003)
    chunks = {"lat": 2, "lon": 2, "tile_lat": 2, "tile_lon": 2, "read_factor": 2.0}
    product = sources.product(end="2003-12-31", chunks=chunks)
    urls = ingest(product, root, client)["home"].references
    folder = Path(urls["air_temperature"]).parent
    assert list(folder.glob("*.cube.json"))
    assert len(list(folder.glob("slabs/*.zarr"))) == 4
    np.testing.assert_array_equal(open_forcing(product, "home", urls)["air_temperature"].values, sources.plain(2003))


def test_an_interrupted_layout_goes_on_where_it_stopped(sources, root, client):
    sources.write(2003)
    chunks = {"lat": 2, "lon": 2, "tile_lat": 2, "tile_lon": 2, "read_factor": 1.0}
    product = sources.product(end="2003-12-31", chunks=chunks)
    urls = ingest(product, root, client)["home"].references
    folder = Path(urls["air_temperature"]).parent
    next(folder.glob("*.cube.json")).unlink()
    shards = sorted(folder.glob("slabs/*.zarr/c/0/0/0"))
    shards[1].unlink()
    kept = {p: p.stat().st_mtime_ns for p in shards if p.exists()}
    ingest(product, root, client)
    assert sorted(folder.glob("slabs/*.zarr/c/0/0/0")) == shards
    assert {p: p.stat().st_mtime_ns for p in kept} == kept


def test_missing_forcing_names_variable_day_and_cell(sources, root, client):
    values = np.full((365, 4, 5), 283.0)
    values[40, 1, 3] = np.nan
    sources.write(2003, {"dtype": "float32"}, values=values)
    with pytest.raises(ForcingError, match=r"air_temperature: missing on 2003-02-10 at the cell 47\.95 N, 7\.35 E"):
        ingest(sources.product(end="2003-12-31"), root, client)


def test_nothing_is_seen_of_a_run_that_a_bad_file_ends(sources, root, client):
    sources.write(2003)
    sources.path(2004).write_bytes(b"")
    with pytest.raises(ForcingError, match=r"t2m_2004\.nc: is empty \(0 bytes\), as after a failed download"):
        ingest(sources.product(), root, client)
    assert not list(Path(root).rglob(".zmetadata"))
    assert not list(Path(root).glob("static/*"))


def test_an_open_period_without_a_training_period_is_refused(sources, root, client):
    sources.write(2003)
    with pytest.raises(ForcingError, match=r"training\.period with an end"):
        ingest(sources.product(end=None), root, client)


def _statics(tmp_path, values):
    path = tmp_path / "static.nc"
    xr.Dataset(
        {"sand": (("lat", "lon"), values)}, {"lat": LAT.astype("float32"), "lon": LON.astype("float32")}
    ).to_netcdf(path, engine="h5netcdf")
    return {"url": str(path), "variable": "sand"}


def test_a_gap_in_a_static_file_is_refused_or_filled(sources, root, client, tmp_path):
    sources.write(2003)
    values = np.arange(20.0).reshape(4, 5)
    values[3, 3] = np.nan
    sand = _statics(tmp_path, values)
    with pytest.raises(ForcingError, match=r"static\.sand: missing at 1 of 19 cells .* 47\.75 N, 7\.35 E"):
        ingest(sources.product(end="2003-12-31", static={"sand": sand}), root, client)
    product = sources.product(end="2003-12-31", static={"sand": {**sand, "gaps": "mean"}})
    inputs = ingest(product, root, client)["home"]
    found = open_static(inputs.static)["sand"].values
    assert found[3, 3] == pytest.approx(np.delete(np.arange(1.0, 20), 17).mean())
    assert found[2, 1] == 11
    assert static_url(root, product, "home", inputs.references) == inputs.static


def test_classes_become_columns(sources, root, client, tmp_path):
    sources.write(2003)
    classes = np.where(np.arange(20).reshape(4, 5) % 2 == 0, 4.0, 7.0)
    kind = {**_statics(tmp_path, classes), "categories": [4, 7, 9]}
    found = open_static(ingest(sources.product(end="2003-12-31", static={"kind": kind}), root, client)["home"].static)
    assert found.attrs["features"] == "kind_4,kind_7,kind_9"
    assert found["kind_4"].values[0, 2] == 1
    assert found["kind_7"].values[0, 2] == 0
    with pytest.raises(ForcingError, match=r"static\.kind: class 7 occurs in .*; add it to categories"):
        ingest(sources.product(end="2003-12-31", static={"kind": {**kind, "categories": [4]}}), root, client)
