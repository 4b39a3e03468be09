"""ISMN archives -> sensors. The one file that imports `ismn`.

An archive is a zip or a folder, local or on any fsspec file system, in the layouts the ISMN delivers ("CEOP formatted"
and "header + values" in separate files): `<network>/<station>/<..>_sm_<from>_<to>_<instrument>_<start>_<end>.stm`.
"""

import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path, PurePosixPath
from threading import Lock

import numpy as np
import pandas as pd
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from ismn.base import IsmnRoot
from ismn.filehandlers import DataFile
from ismn.meta import MetaData

from somo.insitu.files import opened
from somo.insitu.sensor import InsituError, Sensor

VARIABLE = "soil_moisture"
GOOD = "G"

_one_at_a_time = Lock()


def list_stations(url: str) -> dict[str, tuple[str, ...]]:
    """Soil-moisture files of an archive by station folder, in order.

    Raises
    ------
    InsituError
        if the archive is missing, broken or has no soil moisture
    """
    with opened(url) as (fs, base):
        files = sorted(f for f in fs.find(base) if _is_soil_moisture(f))
    if not files:
        raise InsituError(
            f"{url}: no soil-moisture files (<network>/<station>/*_sm_*.stm) inside; "
            "give an ISMN archive, zipped or unpacked, that holds the variable soil moisture"
        )
    return {folder: tuple(inside) for folder, inside in groupby(files, key=lambda f: str(PurePosixPath(f).parent))}


def read_stations(url: str, stations: Mapping[str, tuple[str, ...]], archive: str) -> Iterator[Sensor]:
    """Every sensor of some stations (as `list_stations` gives them), station by station.

    A file that cannot be read becomes a sensor that says so in `problem`.
    """
    with opened(url) as (fs, _):
        for files in stations.values():
            with _local_files(fs, files) as paths:
                read = sorted((_read_file(path, archive) for path in paths), key=_identity)
            yield from (_joined(list(parts)) for _, parts in groupby(read, key=_identity))


def _is_soil_moisture(path: str) -> bool:
    return path.endswith(".stm") and "_sm_" in PurePosixPath(path).name and len(PurePosixPath(path).parts) >= 3


@contextmanager
def _local_files(fs: AbstractFileSystem, files: Iterable[str]) -> Iterator[list[Path]]:
    """Paths `.../network/station/file`: the files themselves, or copies in a temporary place if they are remote."""
    if isinstance(fs, LocalFileSystem):
        yield [Path(f) for f in files]
        return
    with tempfile.TemporaryDirectory(prefix="somo-ismn-") as place:
        paths = []
        for source in files:
            path = Path(place, *PurePosixPath(source).parts[-3:])
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.write_bytes(fs.cat_file(source))
            except (zipfile.BadZipFile, EOFError, zlib.error) as error:
                raise InsituError(f"{source}: broken inside the archive ({error}); download it again") from error
            paths.append(path)
        yield paths


def _read_file(path: Path, archive: str) -> Sensor:
    network, station = path.parts[-3:-1]
    try:
        about, table = _parse(path)
        depth = about["instrument"].depth
        value = pd.to_numeric(table[VARIABLE], errors="coerce").to_numpy(np.float64)
        good = (table[f"{VARIABLE}_flag"].astype(str).str.strip() == GOOD).to_numpy(bool)
        time = table.index.to_numpy("M8[ns]")
    except Exception as error:  # the package lets whatever a malformed line causes escape
        return Sensor.unreadable(archive, network, station, path.name, f"{path.name} cannot be read: {_short(error)}")
    return Sensor(
        archive=archive,
        network=network,
        station=station,
        name=str(about["instrument"].val),
        latitude=float(about["latitude"].val),
        longitude=float(about["longitude"].val),
        depth_from_m=float(depth.start),
        depth_to_m=float(depth.end),
        time=time,
        value=value,
        good=good,
    )


def _parse(path: Path) -> tuple[MetaData, pd.DataFrame]:
    """The package's metadata and table of one file.

    It uses pandas calls that are going away; hushing them changes the whole process, so threads take turns.
    """
    root = path.parents[2]
    file = DataFile(IsmnRoot(root), path.relative_to(root), load_metadata=False)
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return file.read_metadata(best_meta_for_sensor=False), file.read_data()


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _identity(sensor: Sensor) -> tuple[str, str, str, float, float, str]:
    return (
        sensor.network,
        sensor.station,
        sensor.name,
        np.nan_to_num(sensor.depth_from_m, nan=-1.0),
        np.nan_to_num(sensor.depth_to_m, nan=-1.0),
        sensor.problem,
    )


def _joined(parts: list[Sensor]) -> Sensor:
    """One sensor of the files that hold parts of its series; of equal times the first file's value counts."""
    if len(parts) == 1:
        return parts[0]
    _, keep = np.unique(np.concatenate([p.time for p in parts]), return_index=True)
    return replace(
        parts[0],
        time=np.concatenate([p.time for p in parts])[keep],
        value=np.concatenate([p.value for p in parts])[keep],
        good=np.concatenate([p.good for p in parts])[keep],
    )
