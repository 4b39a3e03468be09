"""The whole journey of a tiny product, taken once from the shell, and what every further command makes of it.

Those run inside this process: a shell's would import all packages and start Prefect's server and Dask anew.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client

from flows.environment import load_product
from flows.stages.publish import write_netcdf, write_series
from flows.stages.release import release
from flows.status import read_status
from somo.publish import manifest, verifying
from somo.storage.client import filesystem
from somo.storage.objects import put, read_bytes
from tests.flows.conftest import TINY, Said

STAGES = ["ingest", "targets", "train", "produce", "publish", "validate"]


@pytest.fixture(scope="module")
def made(tiny_made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Root of the product after one run, to be disturbed, and what the run said.

    A copy by second names, as every test here gives an object other bytes under a name of its own.
    """
    root = shutil.copytree(tiny_made / "root", tmp_path_factory.mktemp("journey") / "root", copy_function=os.link)
    return root, (tiny_made / "stdout").read_text().replace(str(tiny_made / "root"), str(root))


def test_run_ends_with_skill_and_places(made: tuple[Path, str]) -> None:
    root, said = made
    assert all(f"layer{n}: median r" in said for n in (1, 2, 3))
    assert "(cross-validation), in pooled units" in said
    for place in ("soil_moisture.zarr", "netcdf", "report/index.html"):
        assert f"{root}/v1.0.0/{place}" in said
        assert (root / "v1.0.0" / place).exists()


def test_published_maps_cover_land_and_days(made: tuple[Path, str]) -> None:
    with xr.open_zarr(made[0] / "v1.0.0" / "soil_moisture.zarr", chunks=None) as store:
        mean = store["soil_moisture"].transpose("depth", "time", "lat", "lon").values
    land = np.isfinite(mean).any((0, 1))
    assert mean.shape == (3, 366, 8, 10)
    assert 0 < land.sum() < land.size
    assert np.isfinite(mean[:, :, land]).all()


def test_yearly_file_equals_the_store(made: tuple[Path, str]) -> None:
    version = made[0] / "v1.0.0"
    with (
        xr.open_zarr(version / "soil_moisture.zarr", chunks=None) as store,
        xr.open_dataset(version / "netcdf" / "Tiny_layer2_2004.nc", engine="h5netcdf") as file,
    ):
        expected = store["soil_moisture"].isel(depth=1).transpose("time", "lat", "lon").values
        np.testing.assert_allclose(file["layer2"].values, expected, atol=1e-6)


@pytest.fixture(autouse=True)
def sources_in_environment(tiny_sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The declaration names its sources by this variable."""
    monkeypatch.setenv("SOMO_TINY", str(tiny_sources))


def test_status_knows_that_all_is_done(made: tuple[Path, str], somo: Callable[..., Said]) -> None:
    stages = json.loads(somo("status", TINY, "--root", made[0], "--json").out)
    assert [stage["name"] for stage in stages] == STAGES
    assert {stage["state"] for stage in stages} == {"done"}
    assert all(stage["bytes"] > 0 for stage in stages)


@pytest.mark.parametrize(
    ("key", "stage"),
    [
        ("soil_moisture.zarr/lat/c/0", "produce"),
        ("soil_moisture_series.zarr/zarr.json", "publish"),
        ("netcdf/Tiny_layer2_2004.nc", "publish"),
        ("validation/targets.parquet", "publish"),
        ("collection.json", "publish"),
        ("report/overview.svg", "validate"),
        ("report/index.html", "validate"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "changed"])
def test_status_misses_an_object_that_is_not_as_it_was_published(
    made: tuple[Path, str], key: str, stage: str, how: str
) -> None:
    path = made[0] / "v1.0.0" / key
    data, stamps = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    try:
        path.unlink()
        if how == "changed":
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        found = {s.name: s for s in read_status(load_product(TINY), str(made[0]))}
        assert found[stage].state == "missing", found
        assert stage == "validate" or found["validate"].state == "waiting"
    finally:
        path.write_bytes(data)
        os.utime(path, ns=stamps)


def test_a_rewritten_yearly_file_is_made_again(made: tuple[Path, str], client: Client, tmp_path: Path) -> None:
    version = shutil.copytree(made[0] / "v1.0.0", tmp_path / "v1.0.0")
    file = version / "netcdf" / "Tiny_layer2_2004.nc"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert manifest.rewritten_objects(str(version)) == ["netcdf/Tiny_layer2_2004.nc"]
    write_netcdf(load_product(TINY), str(version), client)
    assert file.read_bytes() == whole


def test_damaged_shards_of_the_store_for_series_are_derived_anew(
    made: tuple[Path, str], client: Client, tmp_path: Path
) -> None:
    """On the other side; the damaged one is published no more."""
    version = shutil.copytree(made[0] / "v1.0.0", tmp_path / "v1.0.0")
    shard = version / "soil_moisture_series.zarr/soil_moisture/c/0/0/0/0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    write_series(load_product(TINY), str(version), client)
    assert (shard.parents[4] / "c.0.0.0.0").read_bytes() == whole
    shown = manifest.shown_objects(str(version))
    assert str(shard.relative_to(version)) not in shown
    assert "soil_moisture_series.zarr/soil_moisture/c.0.0.0.0" in shown


def test_a_damaged_coordinate_is_made_anew_and_not_certified(
    made: tuple[Path, str], tmp_path: Path, somo: Callable[..., Said]
) -> None:
    root = shutil.copytree(made[0], tmp_path / "root")
    array = root / "v1.0.0/soil_moisture.zarr/lat/c/0"
    whole = array.read_bytes()
    array.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = somo("run", TINY, "--root", root)
    assert again.status == 0, again.err
    assert "to do: produce" in again.err
    assert array.read_bytes() == whole
    assert manifest.rewritten_objects(str(root / "v1.0.0")) == []


def test_second_run_does_nothing(made: tuple[Path, str], somo: Callable[..., Said]) -> None:
    before = {p: p.stat().st_mtime_ns for p in made[0].rglob("*") if p.is_file()}
    started = time.monotonic()
    again = somo("run", TINY, "--root", made[0])
    assert again.status == 0
    assert "all done" in again.err
    assert again.out == made[1]
    assert time.monotonic() - started < 60
    assert {p: p.stat().st_mtime_ns for p in made[0].rglob("*") if p.is_file()} == before


def test_from_requires_the_stages_before(tmp_path: Path, somo: Callable[..., Said]) -> None:
    refused = somo("run", TINY, "--root", tmp_path, "--from", "produce")
    assert refused.status == 1
    assert "ingest" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_status_of_nothing(tmp_path: Path, somo: Callable[..., Said]) -> None:
    stages = json.loads(somo("status", TINY, "--root", tmp_path, "--json").out)
    assert [stage["state"] for stage in stages] == ["missing"] + 5 * ["waiting"]


@pytest.mark.s3
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_a_copied_bucket_is_the_same_bucket(
    made: tuple[Path, str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    client: Client,
    place: str,
) -> None:
    """Copied without its times, as `cp -r` and `aws s3 sync` do: what was recorded decides, or the bytes."""
    if place == "folder":
        copied = str(shutil.copytree(made[0], tmp_path / "bucket", copy_function=shutil.copyfile))
    else:
        copied = request.getfixturevalue("s3_root")
        filesystem(copied)[0].put(f"{made[0]}/", copied, recursive=True)
    product, started = load_product(TINY), time.monotonic()
    found = {stage.name: stage for stage in read_status(product, copied)}
    assert {name: stage.detail for name, stage in found.items() if not stage.done} == {}
    assert time.monotonic() - started < 20
    assert manifest.rewritten_objects(f"{copied}/v1.0.0") == []
    # Two small years train no network that passes the gate: its limits are opened, every checksum is read.
    lax = dict.fromkeys(("max_seam", "max_block_jump", "max_year_jump", "max_coverage"), 1.0)
    lax |= {"min_applicable": 0.0, "min_coverage": 0.0}
    checks = product.checks.model_validate({**product.checks.model_dump(), **lax})
    assert release(product.model_copy(update={"checks": checks}), copied, client) == "1.0.0"
    *_, (done, total, damage) = verifying.verify(copied, anon=False)
    assert (done, damage) == (total, [])
    picture = f"{copied}/v1.0.0/report/overview.svg"
    put(picture, b"x" * len(read_bytes(picture)))
    assert manifest.rewritten_objects(f"{copied}/v1.0.0") == ["report/overview.svg"]
