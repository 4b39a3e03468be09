"""Benchmark of static features finer than the grid: a global relief of one arc minute and a global land cover of 300 m.

Both are written chunk by chunk as their providers cut them (ETOPO1, ESA CCI land cover; their values are invented), and
read onto the cells of Europe, each in a process of its own whose memory is looked at. Prints what `make bench
PART=statics` reports and writes `bench/statics.json`.
"""

import json
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from flows.console import output
from somo.forcing.statics.field import read_static
from somo.product.static import Static
from somo.synthetic.europe import FULL_SIZE, domains_of

MOST_MB = 1000
CODES = (10, 50, 60, 210)
"""Of the invented land cover: cropland, two forests, water."""
FOREST = (50, 60)


@dataclass(frozen=True)
class Layout:
    """How a provider cuts its global file.

    Attributes
    ----------
    cells : rows and columns
    chunk : rows and columns of a stored chunk
    dtype : of its numbers
    """

    cells: tuple[int, int]
    chunk: tuple[int, int]
    dtype: str


@dataclass(frozen=True)
class Taken:
    """What one feature took.

    Attributes
    ----------
    numbers : of the file that lie in the cells of Europe
    peak_mb : most memory of the process, Python and libraries among it
    before_mb : what it held before the feature was read
    """

    numbers: int
    seconds: float
    peak_mb: float
    before_mb: float


RELIEF = Layout((10_800, 21_600), (540, 1080), "i2")
LAND_COVER = Layout((64_800, 129_600), (2025, 2025), "u1")
FEATURES: dict[str, tuple[Layout, str, dict[str, object]]] = {
    "relief of 1 minute, mean": (RELIEF, "z", {"within_cell": "mean", "units": "m"}),
    "relief of 1 minute, deviation": (RELIEF, "z", {"within_cell": "std", "units": "m"}),
    "land cover of 300 m, forest": (LAND_COVER, "lccs_class", {"within_cell": "fraction", "classes": FOREST}),
}


def main() -> None:
    """Run the benchmark, print the table and write the JSON."""
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder:
        for layout, variable, _ in FEATURES.values():
            if not (path := Path(folder, f"{variable}.nc")).exists():
                write_global(path, variable, layout)
        taken = {}
        for name in FEATURES:
            # A process that is forked would begin with the memory that this one has had.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                taken[name] = pool.submit(read_feature, folder, name).result()
    table = Table(
        "", "million numbers", "seconds", "MB before", "MB at most", "goal", title="static features of Europe"
    )
    for name, figures in taken.items():
        goal = f"{MOST_MB}: {'met' if figures.peak_mb < MOST_MB else 'missed'}"
        numbers, seconds = f"{figures.numbers / 1e6:.1f}", f"{figures.seconds:.1f}"
        table.add_row(name, numbers, seconds, f"{figures.before_mb:.0f}", f"{figures.peak_mb:.0f}", goal)
    output.print(table)
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "statics.json").write_text(json.dumps({name: asdict(t) for name, t in taken.items()}, indent=1))


def write_global(path: Path, variable: str, layout: Layout) -> None:
    """Write a global file whose chunks are copies of a few: made in seconds, and as large to read as a provider's."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name, cells, begin, end in (("lat", layout.cells[0], 90.0, -90.0), ("lon", layout.cells[1], -180.0, 180.0)):
            step = (end - begin) / cells
            axis = file.create_dataset(name, data=begin + (np.arange(cells) + 0.5) * step)
            axis.make_scale(name)
            axis.attrs["units"] = "degrees_north" if name == "lat" else "degrees_east"
        data = file.create_dataset(
            variable,
            layout.cells,
            layout.dtype,
            chunks=layout.chunk,
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        for dimension, name in enumerate(("lat", "lon")):
            data.dims[dimension].attach_scale(file[name])
        if variable == "z":
            data.attrs["units"] = "m"
        else:
            data.attrs["flag_values"] = np.array(CODES, "u1")
            data.attrs["flag_meanings"] = "cropland broadleaved needleleaved water"
        stored = [_stored_chunk(data, _invented(rng, layout)) for _ in range(4)]
        rows, columns = (n // c for n, c in zip(layout.cells, layout.chunk, strict=True))
        for number in range(rows * columns):
            row, column = divmod(number, columns)
            place = row * layout.chunk[0], column * layout.chunk[1]
            mask, chunk = stored[number % len(stored)]
            data.id.write_direct_chunk(place, chunk, mask)


def _invented(rng: np.random.Generator, layout: Layout) -> NDArray[Any]:
    """Numbers of one chunk: hills of some kilometres with noise, and fields of some hundred metres."""
    if layout is LAND_COVER:
        fields = rng.choice(CODES, [n // 5 for n in layout.chunk])
        return np.repeat(np.repeat(fields, 5, 0), 5, 1).astype(layout.dtype)
    north, east = (300 * np.sin(np.arange(n) / 20) for n in layout.chunk)
    height: NDArray[np.float64] = 700 + north[:, None] + east + rng.normal(0, 30, layout.chunk)
    return height.astype(layout.dtype)


def _stored_chunk(data: h5py.Dataset, numbers: NDArray[Any]) -> tuple[int, bytes]:
    """The bytes of one chunk as HDF5 has packed them, and which filters it passed."""
    high, wide = data.chunks
    data[:high, :wide] = numbers
    mask, chunk = data.id.read_direct_chunk((0, 0))
    return mask, chunk


def read_feature(folder: str, name: str) -> Taken:
    """Read one feature onto Europe, in this process."""
    layout, variable, declared = FEATURES[name]
    grid = domains_of(FULL_SIZE, 1)[0].grid
    static = Static.model_validate({"url": f"{folder}/{variable}.nc", "variable": variable, **declared})
    before, started = _peak_mb(), time.perf_counter()
    values = read_static("feature", static, "home", grid)
    seconds = time.perf_counter() - started
    if not np.isfinite(values).all():
        raise RuntimeError(f"{name}: cells of Europe lack a value")
    numbers_a_cell = np.prod([grid.step_deg / (180 / layout.cells[0])] * 2)
    return Taken(int(values.size * numbers_a_cell), seconds, _peak_mb(), before)


def _peak_mb() -> float:
    # Linux counts in kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
