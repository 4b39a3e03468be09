"""Source files as producers write them: yearly NetCDF-4, packed into int16, chunked by time, written slab by slab."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5netcdf
import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.storage.objects import join, put_file

FILL = -32767
# ERA5's files counted hours from here until 2024.
EPOCH = np.datetime64("1900-01-01", "h")


@dataclass(frozen=True)
class Packed:
    """How a variable is stored: value = stored * scale + offset."""

    name: str
    long_name: str
    units: str
    scale: float
    offset: float

    def pack(self, values: NDArray[np.floating]) -> NDArray[np.int16]:
        """int16 with `FILL` for missing values; values outside its range are clipped."""
        # -32767 is the fill value and would make an extreme one missing.
        stored = np.clip(np.round((values - self.offset) / self.scale), -32766, 32767)
        return np.where(np.isnan(values), FILL, stored).astype(np.int16)


AIR = Packed("t2m", "2 metre temperature", "K", 0.0025, 270.0)
SKIN = Packed("skt", "Skin temperature", "K", 0.0025, 270.0)
RAIN = Packed("tp", "Total precipitation", "m", 3e-6, 0.098)
SHORTWAVE = Packed("ssr", "Surface net short-wave (solar) radiation", "J m-2", 700.0, 2.2e7)
LONGWAVE = Packed("str", "Surface net long-wave (thermal) radiation", "J m-2", 200.0, -4.0e6)
SOIL_WATER = tuple(
    Packed(f"swvl{k}", f"Volumetric soil water layer {k}", "m**3 m**-3", 2e-5, 0.4) for k in (1, 2, 3, 4)
)


class YearFile:
    """An open yearly file; `append` adds steps of one variable after another."""

    def __init__(self, file: h5netcdf.File) -> None:
        self._file = file
        self._written: dict[str, int] = {}

    def append(self, variable: Packed | str, values: NDArray[np.floating]) -> None:
        """Add [step, lat, lon] values after those already written; a plain name is stored as float32."""
        packed = isinstance(variable, Packed)
        name = variable.name if isinstance(variable, Packed) else variable
        start = self._written.get(name, 0)
        stored = variable.pack(values) if isinstance(variable, Packed) else values.astype(np.float32)
        self._file.variables[name][start : start + len(stored)] = stored
        self._written[name] = start + len(stored)
        assert packed or stored.dtype == np.float32


@contextmanager
def year_file(
    root: str, path: str, grid: Grid, hours: NDArray[np.datetime64], variables: tuple[Packed | str, ...], east: bool
) -> Iterator[YearFile]:
    """Create a file of the given hours at `root`/`path`; it appears there when everything is written.

    Parameters
    ----------
    hours : [step] datetime64[h] stamps
    variables : packed ones, or names of float32 ones
    east : write longitudes as 0..360
    """
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "file.nc")
        with h5netcdf.File(local, "w") as file:
            _coordinates(file, grid, hours, east)
            steps = _chunk_steps(grid, len(hours))
            for variable in variables:
                _declare(file, variable, (steps, *grid.shape))
            yield YearFile(file)
        put_file(local, join(root, path))


def _chunk_steps(grid: Grid, steps: int) -> int:
    """One step a chunk for continents, more for small grids: about a hundred thousand values."""
    return min(max(1, 100_000 // grid.size), steps)


def _coordinates(file: h5netcdf.File, grid: Grid, hours: NDArray[np.datetime64], east: bool) -> None:
    file.dimensions = {"time": len(hours), "latitude": len(grid.lat), "longitude": len(grid.lon)}
    file.attrs["Conventions"] = "CF-1.6"
    file.attrs["source"] = "invented data of somo.synthetic; no measurement"
    time = file.create_variable("time", ("time",), "i4", data=(hours - EPOCH).astype(np.int32))
    time.attrs["units"] = "hours since 1900-01-01 00:00:00.0"
    time.attrs["calendar"] = "gregorian"
    lon = grid.lon % 360 if east else grid.lon
    for name, values, units in (("latitude", grid.lat, "degrees_north"), ("longitude", lon, "degrees_east")):
        # Coordinates in single precision, as many providers have them: 50.1 reads 50.099998, and readers must know it.
        variable = file.create_variable(name, (name,), "f4", data=values.astype(np.float32))
        variable.attrs["units"] = units


def _declare(file: h5netcdf.File, variable: Packed | str, chunks: tuple[int, int, int]) -> None:
    dims = ("time", "latitude", "longitude")
    options = {"chunks": chunks, "compression": "gzip", "compression_opts": 1, "shuffle": True}
    if isinstance(variable, str):
        file.create_variable(variable, dims, "f4", fillvalue=np.float32(np.nan), **options)
        file.variables[variable].attrs["units"] = "m3 m-3"
        return
    created = file.create_variable(variable.name, dims, "i2", fillvalue=np.int16(FILL), **options)
    created.attrs["scale_factor"] = variable.scale
    created.attrs["add_offset"] = variable.offset
    created.attrs["units"] = variable.units
    created.attrs["long_name"] = variable.long_name


def write_static(root: str, path: str, grid: Grid, features: Mapping[str, NDArray[np.floating]], east: bool) -> None:
    """Write [lat, lon] features as float32, NaN at sea."""
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "static.nc")
        with h5netcdf.File(local, "w") as file:
            _coordinates(file, grid, np.empty(0, "M8[h]"), east)
            for name, values in features.items():
                variable = file.create_variable(
                    name, ("latitude", "longitude"), "f4", data=values.astype(np.float32), fillvalue=np.float32(np.nan)
                )
                variable.attrs["units"] = "m" if name.startswith("elevation") else "1"
        put_file(local, join(root, path))
