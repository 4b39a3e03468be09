"""Benchmark of forcing that is brought onto the cells, and of GRIB: beside reading the same bytes and nothing more.

Two years of a tile, as in `flows.bench.forcing`, from sources that lie half a cell off (ERA5-Land's nodes) or are twice
as fine (MODIS, IMERG), with a coast, and from GRIB of the cells themselves. `python -m flows.bench.regridded` measures
these alone.
"""

import datetime as dt
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from flows.cluster.connecting import cluster
from flows.environment import export
from flows.service.s3server import S3Server
from flows.stages.ingest import reference
from somo.core.grid import Grid
from somo.forcing.dataset import daily_arrays
from somo.product.declaration import Product
from somo.storage.objects import join, put
from somo.synthetic.files import AIR, year_file

YEARS = (2010, 2011)
EDGES = {"west": 0.0, "east": 19.2, "south": 40.0, "north": 52.0}
STEP_DEG = 0.1
# One column in three is sea, in pairs, so that most cells between nodes lie at a coast.
SEA_SHARE = 3


@dataclass(frozen=True)
class Case:
    """A way for a source to come onto the cells.

    Attributes
    ----------
    name : of the row in the table, whose peer has the reader's name behind it
    regrid : as declared
    step_deg, margin_deg : of the source's own cells, and how far these reach beyond the product's on every side
    reader : which plain reader of `flows.bench.forcing` reads the same bytes
    """

    name: str
    regrid: str | None
    step_deg: float = STEP_DEG
    margin_deg: float = 0.0
    reader: str = "with_h5netcdf"

    @property
    def peer(self) -> str:
        """Name of the plain reading's row."""
        return f"{self.name}, {self.reader.removeprefix('with_')}"

    @property
    def grid(self) -> Grid:
        """The source's own cells."""
        south, north = EDGES["south"] - self.margin_deg, EDGES["north"] + self.margin_deg
        return Grid.regular(
            EDGES["west"] - self.margin_deg, EDGES["east"] + self.margin_deg, south, north, self.step_deg
        )


CASES = (
    Case("nearest", "nearest", margin_deg=STEP_DEG / 2),
    Case("bilinear", "bilinear", margin_deg=STEP_DEG / 2),
    Case("mean of finer cells", "mean", step_deg=STEP_DEG / 2),
    Case("GRIB", None, reader="with_eccodes"),
)


def declare(case: Case, root: str) -> Product:
    """One variable of two years in tiles."""
    ending, variable = ("grib", "2t") if case.reader == "with_eccodes" else ("nc", AIR.name)
    source = {"url": join(root, f"{case.name}/{{year}}.{ending}"), "variable": variable, "units": "K"}
    return Product.model_validate(
        {
            "name": "bench",
            # With the nine days of spin-up before it, all days of both years, which the plain readers read.
            "period": {"start": f"{YEARS[0]}-01-10", "end": f"{YEARS[-1]}-12-31"},
            "grid": {"kind": "regular", **EDGES, "step_deg": STEP_DEG},
            "forcing": {"air_temperature": source | ({"regrid": case.regrid} if case.regrid else {})},
            "static": {"elevation": {"url": join(root, "static.nc"), "variable": "elevation"}},
            "insitu": [{"name": "none", "url": join(root, "insitu")}],
            "targets": {"scaling": "none"},
            "sequence": {"lookback": 10, "predict_last_n": 10},
            "cluster": {"workers": 2},
        }
    )


def write_sources(case: Case, root: str) -> None:
    """Two years of rough fields with a sea."""
    grid = case.grid
    rough = np.random.default_rng(0).normal(0, 1, (366, *grid.shape)).astype(np.float32)
    values = AIR.offset + 2000 * AIR.scale * rough
    if case.regrid is not None:
        values[:, :, :: SEA_SHARE * 2] = values[:, :, 1 :: SEA_SHARE * 2] = np.nan
    for year in YEARS:
        days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="M8[D]")
        if case.reader == "with_eccodes":
            messages = (_message(field, day, grid) for field, day in zip(values, days, strict=False))
            put(join(root, f"{case.name}/{year}.grib"), b"".join(messages))
            continue
        with year_file(root, f"{case.name}/{year}.nc", grid, days.astype("M8[h]"), (AIR,), False) as file:
            file.append(AIR, values[: len(days)])


def _message(field: NDArray[np.floating], day: np.datetime64, grid: Grid) -> bytes:
    """One message of GRIB 1 as the Climate Data Store packs it."""
    # Not above: it brings a PROJ of its own, and where that is loaded first, pyproj's finds no database.
    import eccodes

    handle = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    settings = {
        "Ni": len(grid.lon), "Nj": len(grid.lat), "bitsPerValue": 16, "shortName": "2t", "dataTime": 0,
        "latitudeOfFirstGridPointInDegrees": round(float(grid.lat[0]), 3),
        "latitudeOfLastGridPointInDegrees": round(float(grid.lat[-1]), 3),
        "longitudeOfFirstGridPointInDegrees": round(float(grid.lon[0]), 3),
        "longitudeOfLastGridPointInDegrees": round(float(grid.lon[-1]), 3),
        "iDirectionIncrementInDegrees": grid.step_deg, "jDirectionIncrementInDegrees": grid.step_deg,
        "dataDate": int(str(day).replace("-", "")),
    }  # fmt: skip
    for key, setting in settings.items():
        eccodes.codes_set(handle, key, setting)
    eccodes.codes_set_values(handle, field.astype("float64").ravel())
    encoded: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return encoded


def describe(case: Case, product: Product, references: dict[str, str], tile: tuple[int, int]) -> dict[str, object]:
    """What the reading processes get on their standard input: `window` is what our own reader takes of the source."""
    array = daily_arrays(product, product.home, references)["air_temperature"]
    window = array.placing.window(*(slice(0, n) for n in tile))
    columns = window.columns[0]
    return {
        "product": product.model_dump(mode="json"), "references": references, "tile": tile, "name": "air_temperature",
        "window": [[window.rows.start, window.rows.stop], [columns.start, columns.stop]],
        "stored": AIR.name, "days": [f"{YEARS[0]}-01-01", f"{YEARS[-1]}-12-31"],
        "files": [product.sources["air_temperature"].patterns[0].on(dt.date(y, 1, 1), "home") for y in YEARS],
    }  # fmt: skip


def measure_all(root: str, client: Client, tile: tuple[int, int]) -> dict[str, tuple[float, float]]:
    """Median milliseconds, and the sum of what was read, of every case and of its plain reading."""
    from flows.bench.forcing import OURS, measure

    timings: dict[str, tuple[float, float]] = {}
    for case in CASES:
        product = declare(case, root)
        write_sources(case, root)
        references = reference(product, root, client)[product.home]
        plain = f"{case.reader}()", f"{case.reader}()"
        timings |= measure(describe(case, product, references, tile), {case.name: OURS, case.peer: plain})
    return timings


def main() -> None:
    """Measure these cases alone and print the table."""
    from flows.bench.forcing import TILE, report

    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder, S3Server(Path(folder)) as server:
        export(server.environment())
        root = f"s3://{server.bucket}"
        with cluster(declare(CASES[0], root)) as client:
            report(measure_all(root, client, TILE))


if __name__ == "__main__":
    main()
