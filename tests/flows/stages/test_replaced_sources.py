"""Source files that are replaced in mid-run: the run ends and names the file, and the next one is as if from the start.

Two versions of a file never meet in one product.
"""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import fsspec
import numpy as np
import pytest
from distributed import Client

from flows.stages import produce as stage
from flows.stages.ingest import ingest
from flows.stages.produce import produce
from somo.forcing.dataset import Inputs
from somo.forcing.sources import ForcingError
from somo.storage.objects import join, put_file
from tests.faults.disturbed_region import region_after_replacement
from tests.predict import made

IN_PLACE, LAID_OUT = 1000.0, 1.0  # how much dearer than its own bytes a tile may be before forcing is laid out anew
NAMED = r"t2m_2020\.nc: was (replaced|removed)|t2m_2020\.nc: cannot be read"


class Case:
    """The tiny product of production with its sources in a folder of their own."""

    def __init__(self, place: str, scratch: Path, client: Client, read_factor: float = IN_PLACE) -> None:
        self.place, self.scratch, self.client = place, scratch, client
        declared = made.product(f"{place}/sources")
        self.product = declared.model_copy(
            update={"chunks": declared.chunks.model_copy(update={"read_factor": read_factor})}
        )
        for name in ("t2m", "tp", "elevation"):
            self.replace(name, seed=0)
        self.models = made.write_ensemble_of(self.product, f"{place}/models/abc")

    def source(self, name: str) -> str:
        return join(f"{self.place}/sources", f"{name}.nc" if name == "elevation" else f"{name}_2020.nc")

    def written(self, seed: int) -> Path:
        """Folder of one version of the sources."""
        folder = self.scratch / f"seed{seed}"
        if not folder.exists():
            folder.mkdir(parents=True)
            made.write_sources(self.product, str(folder), folder, "2020-03-31", seed)
        return folder

    def replace(self, name: str, seed: int) -> None:
        """Put another version of a source in the place of the former, as a provider does."""
        put_file(self.written(seed) / self.source(name).rpartition("/")[2], self.source(name))

    def ingest(self, root: str) -> Inputs:
        return ingest(self.product, root, self.client)["home"]

    def produce(self, root: str, inputs: Inputs) -> dict[str, str]:
        produce(self.product, root, {"home": inputs}, self.models, self.client)
        return shards(root)


def shards(root: str) -> dict[str, str]:
    """Checksum of every object of the store that readers see, by its key."""
    fs, path = fsspec.url_to_fs(f"{root}/v1.0.0")
    fs.invalidate_cache()
    return {
        name.split("v1.0.0/", 1)[1]: hashlib.sha256(fs.cat_file(name)).hexdigest()
        for name in fs.find(path)
        if "soil_moisture.zarr" in name and not name.rpartition("/")[2].startswith(".")
    }


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def case(request: pytest.FixtureRequest, tmp_path: Path, client: Client) -> Case:
    place = str(tmp_path / "place") if request.param == "disk" else request.getfixturevalue("s3_root")
    return Case(place, tmp_path / "scratch", client)


def test_a_file_replaced_between_ingest_and_production(case: Case) -> None:
    root = f"{case.place}/root"
    outdated = case.ingest(root)
    case.replace("t2m", seed=1)
    with pytest.raises(ForcingError, match=NAMED):
        case.produce(root, outdated)
    assert "soil_moisture.zarr/zarr.json" not in shards(root)
    assert case.produce(root, case.ingest(root)) == case.produce(
        f"{case.place}/fresh", case.ingest(f"{case.place}/fresh")
    )


def test_a_file_replaced_during_production(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first region has been made of the former file, and before the others are."""
    root, finished = f"{case.place}/root", tmp_path / "finished"
    finished.mkdir()
    former = case.ingest(root)
    replacement = case.written(seed=1) / "t2m_2020.nc"
    disturbed = partial(
        region_after_replacement, finished=str(finished), replacement=str(replacement), source=case.source("t2m")
    )
    with monkeypatch.context() as patched:
        patched.setattr(stage, "produce_region", disturbed)
        with pytest.raises(ForcingError, match=NAMED):
            case.produce(root, former)
    assert (finished / "replaced").exists() and "soil_moisture.zarr/zarr.json" not in shards(root)
    # What was made of the former file is made again: every byte is that of a run which has seen the new one alone.
    assert case.produce(root, case.ingest(root)) == case.produce(
        f"{case.place}/fresh", case.ingest(f"{case.place}/fresh")
    )


def test_forcing_that_was_laid_out_by_tile_stays_the_version_it_was_made_of(tmp_path: Path, client: Client) -> None:
    case = Case(str(tmp_path / "place"), tmp_path / "scratch", client, LAID_OUT)
    undisturbed = case.produce(str(tmp_path / "undisturbed"), case.ingest(str(tmp_path / "undisturbed")))
    former = case.ingest(str(tmp_path / "root"))
    case.replace("t2m", seed=1)
    assert case.produce(str(tmp_path / "root"), former) == undisturbed


def in_place(path: Path, data: bytes) -> None:
    """Write other bytes of equal length into the same file, as `cp` and downloads do, later than the clock's grain."""
    former = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(former.st_atime_ns, former.st_mtime_ns + 10**9))


def flipped(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    return bytes(data)


@pytest.mark.parametrize("replace", [in_place, lambda path, data: path.unlink()], ids=["in place", "removed"])
def test_formats_that_are_read_through_their_library_notice_it_too(
    tmp_path: Path, client: Client, replace: Callable[[Path, bytes], None]
) -> None:
    """Chunks whose compression is read by HDF5 itself have no places that could be asked for conditionally."""
    import h5py
    import hdf5plugin

    case = Case(str(tmp_path / "place"), tmp_path / "scratch", client)
    path = tmp_path / "place" / "sources" / "t2m_2020.nc"
    with h5py.File(path, "r+") as file:
        values, attributes = file["t2m"][...], dict(file["t2m"].attrs)
        scales = [dimension[0].name for dimension in file["t2m"].dims]
        del file["t2m"]
        packed = file.create_dataset(
            "t2m", data=values, chunks=(1, *values.shape[1:]), **hdf5plugin.Zfp(reversible=True)
        )
        for axis, name in enumerate(scales):
            packed.dims[axis].attach_scale(file[name])
        packed.attrs["_FillValue"] = np.array([attributes["_FillValue"]]).ravel()
    root = str(tmp_path / "root")
    inputs = case.ingest(root)
    replace(path, flipped(path))
    with pytest.raises((ForcingError, OSError), match=NAMED):
        case.produce(root, inputs)
    assert "soil_moisture.zarr/zarr.json" not in shards(root)
