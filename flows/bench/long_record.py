"""Eighteen published years of the full European grid, made in minutes: what an update of them is measured on.

Everything that an update reads is as large as in production: shards, series, drought, states, forcing of the last
year. The years before cost little to make: their forcing is one value, and their shards hold one value a cell.
"""

import io
from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from flows.bench.produce import FEATURES, MEMBERS, declare, write_models
from flows.cluster.watching import completed
from flows.results import models_url, report_url, samples_url, version_url
from flows.stages.learning.applicability import APPLICABILITY
from flows.stages.production.continuing import segment_files
from flows.stages.production.plan import prepare
from flows.stages.production.region import Opened, RegionForcing, open_job
from flows.stages.production.work import Job, Work
from flows.stages.train import CROSSVAL
from flows.stages.validate import inputs_keys
from somo.forcing.dataset import Inputs
from somo.forcing.statics.static_file import open_static
from somo.learn.uncertainty import UNCERTAINTY, fit_uncertainty, write_uncertainties
from somo.predict import regions as rg
from somo.predict.states import State, day_digests, write_state
from somo.product.declaration import Product
from somo.product.layout import Layout, shard_key
from somo.publish.store import maps as store
from somo.storage.objects import join, put, read_bytes
from somo.synthetic.europe import World
from somo.synthetic.fields import Array
from somo.synthetic.files import AIR, LONGWAVE, RAIN, SKIN, Packed, write_static, year_file
from somo.validate.sections.section import Impossible, text_section, write_section

PROVISIONAL_DAYS = 2
STATIONS = 12
WEATHER = {AIR: "air_temperature", SKIN: "skin_temperature", RAIN: "precipitation", LONGWAVE: "net_longwave"}
NAMES = {"air_temperature": AIR, "skin_temperature": SKIN, "precipitation": RAIN, "net_radiation": LONGWAVE}
# From the invented weather's mm and W m-2 to the files' m and J m-2.
SCALE = {RAIN: 1e-3, LONGWAVE: 86_400.0}
# Value of every cell and day in the years that an update never reads, in the files' units.
TYPICAL = {AIR: 280.0, SKIN: 280.0, RAIN: 0.002, LONGWAVE: -5e6}


def declared(root: str, size: tuple[int, int], tile: int, first_year: int, last_year: int) -> Product:
    """The product of the benchmark of production from a year on, open at its end, learnt from the last year's winter.

    Old forcing lies in yearly files, that of the last year in monthly ones, as providers deliver it.
    """
    raw = declare(root, size, tile).model_dump(mode="json", exclude_none=True)
    folder, forcing = join(root, "forcing"), dict[str, dict[str, object]]()
    for name, variable in NAMES.items():
        urls = [f"{folder}/{variable.name}_{{year}}.nc", f"{folder}/{variable.name}_{{year}}_{{month}}.nc"]
        kind = {"kind": "accumulated"} if variable in SCALE else {}
        forcing[name] = {"url": urls, "variable": variable.name, "units": variable.units, **kind}
    forcing["air_temperature"]["provisional_days"] = PROVISIONAL_DAYS
    winter = {"start": f"{last_year}-01-01", "end": f"{last_year}-02-28"}
    archives = [
        {"name": role, "url": join(root, "insitu", f"{role}.csv"), "format": "table", "role": role}
        for role in ("training", "independent")
    ]
    return Product.model_validate(
        {
            **raw,
            "period": {"start": f"{first_year + 1}-01-01"},
            "forcing": forcing,
            "insitu": archives,
            "targets": {"scaling": "none", "min_days": 2},
            "training": {"members": MEMBERS, "period": winter},
        }
    )


def write_sources(root: str, world: World, first_year: int, last: date) -> None:
    """Forcing from a year to a day, static features, and tables of stations."""
    land = world.land.land
    features = {name: np.where(land, getattr(world.land, name), np.nan) for name in FEATURES}
    write_static(root, "static/home.nc", world.domain.grid, features, False)
    for year in range(first_year, last.year):
        days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="M8[D]")
        for variable, constant_value in TYPICAL.items():
            constant = np.full(world.domain.grid.shape, constant_value)
            _write_repeated(root, world, f"forcing/{variable.name}_{year}.nc", days, variable, constant)
    for month in pd.period_range(f"{last.year}-01", last, freq="M"):
        write_month(root, world, month, last)
    for role, offset in (("training", 0), ("independent", 1)):
        _write_stations(root, world, role, offset, last)


def replace_months(root: str, world: World, last: date, warmer: float = 0.0) -> int:
    """Write the files of the months of the last twelve days once more; returns the number of files."""
    months = pd.period_range(last - timedelta(12), last, freq="M")
    for month in months:
        # Days before the last month's end are final: a provider revises none of them.
        write_month(root, world, month, last, warmer if month == months[-1] else 0.0)
    return len(months) * len(WEATHER)


def write_month(root: str, world: World, month: pd.Period, last: date, warmer: float = 0.0) -> None:
    """The files of one month as far as a day, each day the weather of its first; `warmer`, in K, revises the last."""
    stop = min(month.end_time.date(), last) + timedelta(1)
    days = np.arange(np.datetime64(month.start_time, "D"), np.datetime64(stop, "D"))
    weather = world.weather.day(int(days[0].astype(int)))
    for variable, attribute in WEATHER.items():
        day_map = getattr(weather, attribute) * SCALE.get(variable, 1.0)
        path = f"forcing/{variable.name}_{month:%Y_%m}.nc"
        _write_repeated(root, world, path, days, variable, day_map, warmer if variable is AIR else 0.0)


def _write_repeated(
    root: str,
    world: World,
    path: str,
    days: NDArray[np.datetime64],
    variable: Packed,
    day_map: Array,
    more: float = 0.0,
) -> None:
    """A file in which every day has one map, to the last of which a number is added.

    The map is compressed once: its stored chunk is put in the place of every other day's.
    """
    land_map = np.where(world.land.land, day_map, np.nan)
    with year_file(root, path, world.domain.grid, days.astype("M8[h]"), (variable,), False):
        pass
    with h5py.File(join(root, path), "r+") as file:
        written = file[variable.name]
        steps = written.chunks[0]
        written[:steps] = variable.pack(land_map)
        mask, chunk = written.id.read_direct_chunk((0, 0, 0))
        for day in range(steps, len(days), steps):
            written.id.write_direct_chunk((day, 0, 0), chunk, mask)
        written[-1] = variable.pack(land_map + more)


def _write_stations(root: str, world: World, role: str, offset: int, last: date) -> None:
    """A table of stations on land with a year of invented daily measurements in each layer."""
    rows, columns = np.nonzero(world.land.land)
    places = np.linspace(0, len(rows) - 2, STATIONS).astype(int) + offset
    days = pd.date_range(f"{last.year}-01-01", last)
    table = ["station,latitude,longitude,file,time,value,depth_from_m,depth_to_m,units,utc_offset_hours"]
    for number, place in enumerate(places.tolist()):
        lat, lon = world.domain.grid.lat[rows[place]], world.domain.grid.lon[columns[place]]
        series = pd.DataFrame({"time": days.strftime("%Y-%m-%d")})
        for layer, depth in enumerate((0.05, 0.2, 0.5)):
            series[f"sm{layer}"] = (0.2 + 0.05 * np.sin(np.arange(len(days)) / 20 + number + layer)).round(4)
            table.append(f"{role}{number},{lat},{lon},{role}{number}.csv,time,sm{layer},{depth},{depth},m3 m-3,0")
        put(join(root, "insitu", f"{role}{number}.csv"), series.to_csv(index=False).encode())
    put(join(root, "insitu", f"{role}.csv"), "\n".join(table).encode())


def invent_models(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str) -> str:
    """Networks of the real size with cross-validation, calibration and applicability; returns their URL."""
    url = models_url(product, root, inputs, targets)
    put(samples_url(product, root, inputs, targets), b"no update reads the samples")
    pairs = pd.read_parquet(io.BytesIO(read_bytes(targets))).rename(columns={"value": "y"}).drop(columns="count")
    rng = np.random.default_rng(0)
    pairs["y_hat"] = pairs["y"] + 0.03 * rng.normal(size=len(pairs))
    pairs = pairs.assign(y_ridge=pairs["y_hat"], fold=0, uncertainty=0.03)
    buffer = io.BytesIO()
    pairs.to_parquet(buffer, index=False)
    put(join(url, CROSSVAL), buffer.getvalue())
    index = rng.uniform(0, 2, len(pairs))
    layers = [layer.name for layer in product.layers]
    fitted = []
    for name in layers:
        of_layer = (pairs["layer"] == name).to_numpy()
        y, y_hat, cell = (pairs[column][of_layer].to_numpy() for column in ("y", "y_hat", "cell"))
        fitted.append(fit_uncertainty(name, y, y_hat, index[of_layer], cell))
    write_uncertainties(join(url, UNCERTAINTY), fitted)
    static = open_static(inputs[product.home].static)
    map_of_index = rng.uniform(0, 1, (len(layers), *static["land"].shape)).astype("float32")
    dims, coordinates = ("layer", "lat", "lon"), {"layer": layers, "lat": static["lat"], "lon": static["lon"]}
    inside = ((map_of_index < 0.9) & (static["land"].values == 1)).astype("int8")
    area = {"dissimilarity": (dims, map_of_index), "inside": (dims, inside)}
    xr.Dataset(area, coordinates).to_netcdf(join(url, APPLICABILITY), engine="h5netcdf")
    return write_models(product, url)


def invent_days(product: Product, root: str, inputs: Mapping[str, Inputs], models: str, client: Client) -> None:
    """Write invented shards, entries and states of every region, which production then shows as its own."""
    wanted = prepare(product, root, inputs, models)
    last_block = wanted.layout.blocks(len(wanted.status)) - 1
    futures = [client.submit(invent_region, wanted.job, work, last_block, pure=False) for work in wanted.work]
    for _ in completed(futures, "invented regions"):
        pass


def invent_region(job: Job, work: Work, last_block: int) -> None:
    """What `produce_region` leaves behind, of values that nobody predicted."""
    opened, region = open_job(job), work.region
    # An update reads the last two blocks: only their shards need the size that predicted days have.
    days, varies = region.days.stop - region.days.start, region.block >= last_block - 1
    shards = invented_shards(opened.layout, region.tile, days, varies, opened.fields, opened.land.tobytes())
    for name, shard in shards.items():
        put(join(job.store, shard_key(name, job.side, region.block, region.tile)), shard)
    if work.final_days < opened.layout.days:
        write_state(job.states, region.name, invented_state(opened, job, work))
    objects = {field: rg.Written.of(shard) for field, shard in shards.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))


@lru_cache(maxsize=40)
def invented_shards(
    layout: Layout, tile: tuple[int, int], days: int, varies: bool, fields: tuple[str, ...], land: bytes
) -> dict[str, bytes]:
    """Shards of a tile by field; equal ones are encoded once.

    Parameters
    ----------
    varies : whether days differ, by as much noise as makes shards of the size that predicted days have
    land : bytes of the map of land [row, column]
    """
    rows, columns = layout.cells(tile)
    inside = np.frombuffer(land, bool).reshape(layout.shape)[rows, columns]
    return encoded(layout, inside, days, varies, fields)


def encoded(
    layout: Layout, land: NDArray[np.bool_], days: int, varies: bool, fields: tuple[str, ...]
) -> dict[str, bytes]:
    """One shard of invented packed, the same for every field; `land` is [row, column] of its tile."""
    level = (1500 + np.indices(land.shape).sum(0)).astype(np.int16)
    shape = layout.layers, days, *land.shape
    noise = np.random.default_rng(0).integers(-60, 60, shape, np.int16) if varies else np.zeros(shape, np.int16)
    packed: NDArray[np.int16] = np.where(land, level + noise, store.FILL).astype(np.int16)
    shard = store.encode_shard(layout, packed)
    return {} if shard is None else dict.fromkeys(fields, shard)


def invented_state(opened: Opened, job: Job, work: Work) -> State:
    """A state after the last final day, with the digests of its forcing and a memory of zeros."""
    product, region = opened.product, work.region
    rows = product.sequence.lookback - 1 + work.final_days
    begins = product.period.start + timedelta(region.days.start - product.sequence.spinup_days)
    x_d = RegionForcing(opened, job, region, begins).read(0, rows)
    files = segment_files(job.product, job.references, begins, rows)
    shape = (MEMBERS * len(product.layers), 2, x_d.shape[1], product.network.hidden)
    return State(work.final_days, day_digests(x_d), files, np.zeros(shape, np.float32))


def invent_report(product: Product, root: str) -> None:
    """Words instead of every section of the report: what experiments show has no part in an update."""
    version = version_url(product, root)
    for name, key in inputs_keys(product, version).items():
        write_section(text_section(name, Impossible("this record is invented")), report_url(version), key)
