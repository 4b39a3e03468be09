"""Production on a tiny product: the same bytes by every road, and only what changed is made anew."""

import hashlib
import shutil
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flows import pipeline
from flows.stages import produce as stage
from flows.stages.ingest import ingest
from flows.stages.production.plan import require_version_for
from flows.stages.production.price import pending
from flows.stages.production.region import open_job, predict, produce_region, read_inputs
from flows.stages.publish import describe_changed
from somo.publish.manifest import rewritten_objects, write_manifest
from somo.storage.client import filesystem, zarr_store
from somo.storage.objects import put, read_bytes
from somo.storage.patience import StorageError
from tests.predict import made


def checksums(root: Path, *parts: str) -> dict[str, str]:
    """SHA-256 of every object under the named folders of a root."""
    found = [p for part in parts for p in sorted((root / part).rglob("*")) if p.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def opened(version):
    return xr.open_zarr(zarr_store(f"{version}/soil_moisture.zarr"), consolidated=True, chunks=None)


class Prepared:
    """A root with everything that production needs, up to some last day of forcing."""

    def __init__(self, folder: Path, client, last="2020-03-31", **changes):
        self.sources, self.root, self.client = folder / "sources", folder / "bucket", client
        self.sources.mkdir()
        self.product = made.product(str(self.sources), **changes)
        self.models = made.write_ensemble_of(self.product, str(self.root / "models" / "abc"))
        self.uncertainties = made.write_calibration_of(self.product, self.models)
        self.until(last)

    def until(self, last):
        made.write_sources(self.product, str(self.sources), self.sources, last)
        self.inputs = ingest(self.product, str(self.root), self.client)

    def wanted(self):
        return stage.prepare(self.product, str(self.root), self.inputs, self.models)

    def produce(self):
        return stage.produce(self.product, str(self.root), self.inputs, self.models, self.client)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, client):
    return Prepared(tmp_path_factory.mktemp("produce"), client)


@pytest.fixture(scope="module")
def version(prepared):
    return prepared.produce()


def test_every_land_cell_and_day_is_there(prepared, version):
    with opened(version) as store:
        moisture, spread = store["soil_moisture"].values, store["soil_moisture_std"].values
        assert moisture.shape == (2, 50, 8, 12)
        sea = np.zeros((8, 12), bool)
        sea[4:, 8:] = sea[0, 0] = True
        assert (np.isnan(moisture) == sea).all()
        assert (np.isnan(spread) == sea).all()
        assert 0 <= np.nanmin(moisture) < np.nanmax(moisture) < 1
        assert np.nanmin(spread) >= 0
        assert (store["status"].values == 0).all()
    assert len(list((prepared.root / "regions").rglob("*.json"))) == 5 * 3


def test_a_second_run_does_nothing(prepared, version):
    before = {p: p.stat().st_mtime_ns for p in prepared.root.rglob("*")}
    assert pending(prepared.product, str(prepared.root), prepared.inputs, prepared.models) == ([], 50)
    prepared.produce()
    assert {p: p.stat().st_mtime_ns for p in prepared.root.rglob("*")} == before


def test_one_region_equals_the_whole_map(prepared, version):
    wanted = prepared.wanted()
    opened_job = open_job(wanted.job)
    whole = stage.rg.Region(0, (0, 0), slice(20, 40), slice(0, 8), slice(0, 12))
    x_d, x_s, land = read_inputs(opened_job, whole)
    fields = predict(opened_job, x_d, x_s, land, 20)
    with opened(version) as store:
        moisture = store["soil_moisture"].values[:, 20:40]
    apart = np.abs(fields["soil_moisture"] * 1e-4 - np.nan_to_num(moisture, nan=-3.2768))
    assert apart.max() < 1.5e-4
    assert (apart > 1e-6).mean() < 0.01


def test_uncertainty_of_every_cell_and_day_is_that_of_its_mean_and_its_dissimilarity(prepared, version):
    with opened(version) as store:
        store.load()
    mean, uncertainty = store["soil_moisture"].values, store["soil_moisture_uncertainty"].values
    np.testing.assert_array_equal(np.isnan(mean), np.isnan(uncertainty))
    for k, layer in enumerate(prepared.uncertainties):
        formula = layer.standard(mean[k], store["dissimilarity"].values[k])
        land = np.isfinite(mean[k])
        np.testing.assert_allclose(uncertainty[k][land], formula[land], atol=5.1e-4)
    assert store["soil_moisture"].attrs["ancillary_variables"].startswith("soil_moisture_uncertainty dissimilarity")


def test_ground_is_frozen_after_three_cold_days(prepared, version):
    """Straight from the sources, day by day, also where the three days reach over the edge of a block."""
    with xr.open_dataset(prepared.sources / "t2m_2020.nc") as source:
        cold = source["t2m"].values < np.float32(280.15)
    first = 14  # 15 January, the product's first day, among the days of the year
    expected = np.stack([cold[day - 2 : day + 1].all(0) for day in range(first, first + 50)])
    with opened(version) as store:
        assert store["frozen"].dims == ("time", "lat", "lon")
        assert "below 7 degrees C" in store["frozen"].attrs["comment"]
        frozen, land = store["frozen"].values, store["soil_moisture"].isel(depth=0).notnull().values
    np.testing.assert_array_equal(frozen[land] == 1, expected[land])
    assert np.isnan(frozen[~land]).all()
    assert 0.05 < expected[land].mean() < 0.2


def test_models_that_do_not_know_their_uncertainty_publish_their_spread_alone(prepared, version, tmp_path):
    """The same ensemble without a calibration, as one that was imported: no other byte of the store differs."""
    root = tmp_path / "bucket"
    shutil.copytree(prepared.root, root, ignore=shutil.ignore_patterns("v1.0.0", "regions", "uncertainty.json"))
    models = prepared.models.replace(str(prepared.root), str(root))
    imported = stage.produce(prepared.product, str(root), prepared.inputs, models, prepared.client)
    with opened(imported) as store, opened(version) as whole:
        assert set(whole.variables) - set(store.variables) == {"soil_moisture_uncertainty", "dissimilarity"}
    for name in ("soil_moisture", "soil_moisture_std"):
        folder = f"soil_moisture.zarr/{name}/c"
        assert checksums(Path(imported), folder) == checksums(Path(version), folder)


@pytest.fixture
def copied(prepared, tmp_path):
    """The prepared root without a version, and a way to produce there."""
    root = tmp_path / "bucket"
    shutil.copytree(prepared.root, root, ignore=shutil.ignore_patterns("v1.0.0"))

    def wanted():
        return stage.prepare(prepared.product, str(root), prepared.inputs, prepared.models)

    def produce():
        return stage.produce(prepared.product, str(root), prepared.inputs, prepared.models, prepared.client)

    return root, wanted, produce


def test_resumed_in_any_order_gives_the_same_bytes(prepared, version, copied):
    root, wanted, produce = copied
    todo = wanted()
    assert len(todo.work) == 15
    for work in todo.work[7:2:-1]:
        produce_region(todo.job, work)
    assert len(wanted().work) == 10
    produce()
    assert checksums(root, "v1.0.0", "regions") == checksums(prepared.root, "v1.0.0", "regions")


def test_damaged_and_lost_shards_are_made_anew(prepared, version, copied):
    root, wanted, produce = copied
    for work in wanted().work:
        produce_region(wanted().job, work)
    field = root / "v1.0.0" / "soil_moisture.zarr" / "soil_moisture" / "c" / "0"
    (field / "0" / "0" / "0").unlink()
    damaged = field / "1" / "0" / "1"
    damaged.write_bytes(damaged.read_bytes()[:-9] + b"123456789")
    assert sorted(w.region.name for w in wanted().work) == ["b0000-r00-c00", "b0001-r00-c01"]
    produce()
    assert checksums(root, "v1.0.0", "regions") == checksums(prepared.root, "v1.0.0", "regions")


def test_new_days_complete_the_last_block(tmp_path, client):
    grown = Prepared(tmp_path, client, "2020-02-28", period={"start": "2020-01-15"})
    version = grown.produce()
    with opened(version) as store:
        before = store["soil_moisture"].load()
    assert before.sizes["time"] == 45
    shards = checksums(grown.root, "v1.0.0/soil_moisture.zarr/soil_moisture")
    grown.until("2020-03-12")
    todo = grown.wanted()
    assert {w.region.block for w in todo.work} == {2}
    assert todo.job.side == 1
    grown.produce()
    with opened(version) as store:
        after = store["soil_moisture"].load()
        assert after.sizes["time"] == 58
        xr.testing.assert_identical(after.isel(time=slice(0, 45)).drop_attrs(), before.drop_attrs())
        assert not np.isnan(after.values[:, 45:, 1:4]).any()
    now = checksums(grown.root, "v1.0.0/soil_moisture.zarr/soil_moisture")
    assert {k: v for k, v in shards.items() if "/c/" in k}.items() <= now.items()
    grown.until("2020-03-31")
    assert {w.region.block for w in grown.wanted().work} == {2, 3}


def test_appended_equals_made_at_once(tmp_path, client):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    grown = Prepared(tmp_path / "a", client, "2020-02-28", period={"start": "2020-01-15"})
    grown.produce()
    grown.until("2020-03-20")
    once = Prepared(tmp_path / "b", client, "2020-03-20", period={"start": "2020-01-15"})
    with opened(grown.produce()) as a, opened(once.produce()) as b:
        xr.testing.assert_equal(a.load(), b.load())


def test_provisional_days_follow_their_forcing_until_they_are_final(tmp_path, client):
    source = {"variable": "t2m", "units": "K", "provisional_days": 6}
    folder = tmp_path / "sources"
    revised = Prepared(
        tmp_path,
        client,
        "2020-02-28",
        period={"start": "2020-01-15"},
        forcing={
            "air_temperature": {"url": f"{folder}/t2m_{{year}}.nc", **source},
            "precipitation": {"url": f"{folder}/tp_{{year}}.nc", "variable": "tp", "units": "mm d-1"},
        },
    )
    version = revised.produce()
    with opened(version) as store:
        first = store[["soil_moisture", "status"]].load()
    assert first["status"].values.tolist() == [0] * 39 + [1] * 6
    with xr.open_dataset(folder / "t2m_2020.nc") as ds:
        warmer = ds.load()
    assert warmer.sizes["time"] == 59
    made.write_sources(revised.product, str(folder), folder, "2020-03-02")
    with xr.open_dataset(folder / "t2m_2020.nc") as ds:
        ds.load()
    ds["t2m"][55:59] += 9
    ds.to_netcdf(folder / "t2m_2020.nc", encoding={"t2m": {"chunksizes": (1, 8, 12), "zlib": True}})
    revised.inputs = ingest(revised.product, str(revised.root), client)
    todo = revised.wanted()
    assert {w.region.block for w in todo.work} == {2, 1}
    revised.produce()
    with opened(version) as store:
        second = store[["soil_moisture", "status"]].load()
    assert second["status"].values.tolist() == [0] * 42 + [1] * 6
    old, new = first["soil_moisture"].values[:, :, 1, 1], second["soil_moisture"].values[:, :, 1, 1]
    assert (old[:, :39] == new[:, :39]).all()
    assert (old[:, 41] != new[:, 41]).any()
    assert (old[:, 42:45] != new[:, 42:45]).any()
    assert revised.wanted().complete


def test_another_ensemble_needs_another_version(prepared, version, tmp_path):
    other = made.write_ensemble_of(prepared.product, str(tmp_path / "models" / "other"), seed=9)
    with pytest.raises(
        stage.ProductionError, match=r"version 1\.0\.0 was made with other models.*declare a new version"
    ):
        stage.prepare(prepared.product, str(prepared.root), prepared.inputs, other)


def test_networks_that_the_version_could_not_use_are_not_trained(prepared, version, client, monkeypatch):
    """As where a station was added without a new version: training takes hours, and the refusal came after it."""
    asked = []
    monkeypatch.setattr(pipeline, "ingest", lambda *_: prepared.inputs)
    monkeypatch.setattr(pipeline, "targets", lambda *_: "targets/other.parquet")
    monkeypatch.setattr(pipeline, "train", lambda *_: asked.append("trained"))
    journey = partial(pipeline.journey, prepared.product, str(prepared.root), client)
    with pytest.raises(stage.ProductionError, match=r"version 1\.0\.0 was made with other models.*new version"):
        list(islice(journey(), 3))
    assert not asked and list(islice(journey("train"), 3)) == ["ingest", "targets", "train"] and asked
    require_version_for(prepared.product, str(prepared.root), prepared.inputs, prepared.models)


def test_models_of_other_sequences_are_refused(prepared):
    changed = made.product(str(prepared.sources), sequence={"lookback": 12, "predict_last_n": 20})
    with pytest.raises(stage.ProductionError, match=r"trained with sequence lookback=11.*declares lookback=12"):
        stage.prepare(changed, str(prepared.root), prepared.inputs, prepared.models)


def test_days_are_not_withdrawn(prepared, version):
    shorter = made.product(str(prepared.sources), period={"start": "2020-01-15", "end": "2020-02-20"})
    with pytest.raises(stage.ProductionError, match=r"shows days up to 2020-03-04.*now reach 2020-02-20"):
        stage.prepare(shorter, str(prepared.root), prepared.inputs, prepared.models)


def test_a_worker_too_small_is_refused_before_the_start(copied, prepared):
    _, wanted, _ = copied

    class Small:
        def scheduler_info(self, n_workers):
            return {"workers": {"tcp://10.0.0.1:9": {"memory_limit": 500_000_000}}}

    with pytest.raises(
        stage.ProductionError, match=r"needs 0\.7 GB, worker tcp://10.0.0.1:9 has 0\.5 GB; choose smaller"
    ):
        stage.announce(wanted(), Small())


def test_bfloat16_is_refused_where_the_processor_lacks_it(prepared, copied, monkeypatch):
    root, _, _ = copied
    product = made.product(str(prepared.sources), prediction={"precision": "bfloat16"})
    monkeypatch.setattr(stage, "has_bfloat16", lambda: False)
    with pytest.raises(stage.ProductionError, match=r"worker .* has no bfloat16 arithmetic"):
        stage.produce(product, str(root), prepared.inputs, prepared.models, prepared.client)


def test_a_full_disk_is_named_and_the_same_command_finishes(prepared, version, copied, monkeypatch):
    root, _, produce = copied
    write_bytes, written = Path.write_bytes, []

    def full(self, data):
        written.append(self)
        if len(written) > 12:
            raise OSError(28, "No space left on device", str(self))
        return write_bytes(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match=r"bucket/.*not written, no space is left on the disk.*make room there"):
            produce()
    assert not (root / "v1.0.0" / "soil_moisture.zarr" / "zarr.json").exists()
    produce()
    assert checksums(root, "v1.0.0", "regions") == checksums(prepared.root, "v1.0.0", "regions")


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_copied_bucket_is_the_same_bucket(prepared, version, client, tmp_path, request, place):
    """Copied without its times, as `cp -r` and `aws s3 sync` do: what was recorded decides, or the bytes."""
    write_manifest(version, describe_changed(version, client))
    if place == "folder":
        root = str(shutil.copytree(prepared.root, tmp_path / "bucket", copy_function=shutil.copyfile))
    else:
        root = request.getfixturevalue("s3_root")
        filesystem(root)[0].put(f"{prepared.root}/", root, recursive=True)
    models = f"{root}/models/abc"
    assert rewritten_objects(f"{root}/v1.0.0") == []
    assert pending(prepared.product, root, prepared.inputs, models) == ([], 50)
    damaged = f"{root}/v1.0.0/soil_moisture.zarr/soil_moisture/c/0/1/0/1"
    put(damaged, read_bytes(damaged)[:-9] + b"123456789")
    assert rewritten_objects(f"{root}/v1.0.0") == ["soil_moisture.zarr/soil_moisture/c/0/1/0/1"]
    (missing,), _ = pending(prepared.product, root, prepared.inputs, models)
    assert missing.startswith("1 regions from b0001-r00-c01 (20 days to compute")
