"""An invented Europe and US as their providers deliver them: what `flows/products/europe.toml` names, in small windows.

Structures are those of the providers' files; only their axes are cut to a window, as a subset of the Climate Data Store
is. Weather and soil come from the same seed on the nodes of ERA5-Land and on the cells of E-OBS, half a cell apart.
"""

import itertools
import tempfile
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import h5netcdf
import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.storage.objects import join, put_file
from somo.synthetic.archive import Format, Seen, place_stations, write_archive
from somo.synthetic.compared import write_cosmos, write_products
from somo.synthetic.delivered_statics import write_elevation, write_land_cover, write_soil
from somo.synthetic.europe import SECONDS, Domain, World, diurnal
from somo.synthetic.fields import Array
from somo.synthetic.land import Land
from somo.synthetic.weather import Day

# First centres of E-OBS at 0.1 degrees, 1.4e-4 degrees off whole steps.
E_OBS_LATITUDE, E_OBS_LONGITUDE = 25.04986061, -24.95013939
# Cells and ERA5-Land's nodes among the rows, and among the columns, of `_half_steps`.
CELLS, NODES = slice(2, -1, 2), slice(1, None, 2)
Past = tuple[np.datetime64, Day, Array]
# Attributes of the Climate Data Store's NetCDF since 2024, which its converter takes from GRIB. The standard name of
# `str` says upward although its values are downward: a reader who believes it has the wrong sign.
CDS_ATTRIBUTES: dict[str, dict[str, str]] = {
    "t2m": {"units": "K", "long_name": "2 metre temperature", "standard_name": "unknown", "GRIB_stepType": "instant"},
    "skt": {"units": "K", "long_name": "Skin temperature", "standard_name": "unknown", "GRIB_stepType": "instant"},
    "tp": {"units": "m", "long_name": "Total precipitation", "standard_name": "unknown", "GRIB_stepType": "accum"},
    "ssr": {
        "units": "J m**-2", "long_name": "Surface net short-wave (solar) radiation",
        "standard_name": "surface_net_downward_shortwave_flux", "GRIB_stepType": "accum",
    },
    "str": {
        "units": "J m**-2", "long_name": "Surface net long-wave (thermal) radiation",
        "standard_name": "surface_net_upward_longwave_flux", "GRIB_stepType": "accum",
    },
    **{
        f"swvl{layer}": {
            "units": "m**3 m**-3", "long_name": f"Volumetric soil water layer {layer}", "standard_name": "unknown",
            "GRIB_stepType": "instant",
        }
        for layer in (1, 2, 3)
    },
}  # fmt: skip


def write_delivered(
    root: str, home: Grid, us: Grid, days: tuple[np.datetime64, np.datetime64], stations: int = 12, seed: int = 0
) -> None:
    """Write `forcing/` and `compared/` and `insitu/` under a URL: what the folders of `europe.toml`'s settings hold.

    Parameters
    ----------
    home, us : cells of 0.1 degrees
    days : first and last
    stations : in either domain
    """
    archives: dict[str, tuple[str, Format]] = {
        "home": ("insitu/europe.zip", "header+values"),
        "us": ("insitu/us.zip", "ceop"),
    }
    regions = []
    for name, grid in (("home", home), ("us", us)):
        world = World.make(Domain(name, _half_steps(grid), 0, False), seed)
        past = list(world.days(*days))
        _write_era5_land(join(root, f"forcing/era5-land/{name}"), world, past)
        dates, land = np.array([date for date, _, _ in past]), _on_cells(world.land)
        truth = np.where(land.land, np.stack([moisture[:, CELLS, CELLS] for _, _, moisture in past]), np.nan)
        air = np.stack([day.air_temperature[CELLS, CELLS] for _, day, _ in past])
        regions.append((grid, land))
        if name == "home":
            rain = np.stack([day.precipitation[CELLS, CELLS] for _, day, _ in past])
            _write_e_obs(root, grid, land.land, dates, {"tg": air - 273.15, "rr": rain})
            write_products(join(root, "compared"), grid, truth, dates, seed)
            write_cosmos(join(root, "compared/cosmos_europe"), grid, truth, dates, 4, seed)
        placed = place_stations(grid, land.land, land.elevation, name, stations, seed)
        at = [(station, *divmod(station.cell, len(grid.lon))) for station in placed]
        histories = [Seen(dates, truth[:, :, row, column], air[:, row, column]) for _, row, column in at]
        path, form = archives[name]
        write_archive(root, path, zip(placed, histories, strict=True), form, seed)
    _write_statics(join(root, "forcing"), regions, seed)


def _half_steps(grid: Grid) -> Grid:
    """Every 0.05 degrees: the cells' centres (`CELLS`), and ERA5-Land's nodes around them at whole tenths (`NODES`)."""
    (lat_edges, lon_edges), margin = grid.bounds(), 0.75 * grid.step_deg
    south, north = lat_edges.min() - margin, lat_edges.max() + margin
    return Grid.regular(lon_edges.min() - margin, lon_edges.max() + margin, south, north, grid.step_deg / 2)


def _on_cells(land: Land) -> Land:
    return Land(**{name: getattr(land, name)[CELLS, CELLS] for name in Land.__dataclass_fields__})


def _write_statics(root: str, regions: Sequence[tuple[Grid, Land]], seed: int) -> None:
    """Relief, land cover and soil of all regions."""
    write_elevation(join(root, "etopo/ETOPO_2022_v1_60s_N90W180_surface.nc"), regions)
    write_land_cover(join(root, "landcover/C3S-LC-L4-LCCS-Map-300m-P1Y-2020-v2.1.1.nc"), regions, seed)
    for soil, depth, field in (
        ("sand", "0-5cm", "sand_surface"), ("clay", "0-5cm", "clay_surface"),
        ("sand", "60-100cm", "sand_deep"), ("clay", "60-100cm", "clay_deep"),
    ):  # fmt: skip
        write_soil(join(root, f"soilgrids/{soil}_{depth}_mean_1000.tif"), regions, attrgetter(field))


def _write_era5_land(root: str, world: World, past: Sequence[Past]) -> None:
    """A file a variable and month; sums run from 00 UTC, and the first hour after the last day completes it."""
    grid = Grid(world.domain.grid.lat[NODES], world.domain.grid.lon[NODES], 2 * world.domain.grid.step_deg)
    land, totals = world.land.land[NODES, NODES], dict[str, Array]()
    for month, days in itertools.groupby(past, lambda day: day[0].astype("M8[M]")):
        in_month = list(days)
        hourly = [_hourly(world, *day, totals) for day in in_month]
        stamps = (np.array([day[0] for day in in_month], "M8[h]")[:, None] + np.arange(24)).ravel().astype("M8[h]")
        for name in CDS_ATTRIBUTES:
            values = np.concatenate([np.where(land, of_day[name], np.nan) for of_day in hourly])
            write_cds(_cds_url(root, name, month), grid, name, stamps, values.astype("float32"))
    following_day = past[-1][0] + np.timedelta64(1, "D")
    for name, total in totals.items():
        completed = np.where(land, total, np.nan).astype("float32")[None]
        stamp, month = np.array([following_day]).astype("M8[h]"), following_day.astype("M8[M]")
        write_cds(_cds_url(root, name, month), grid, name, stamp, completed)


def _cds_url(root: str, name: str, month: np.datetime64) -> str:
    return join(root, f"{name}_{str(month).replace('-', '_')}.nc")


def _hourly(world: World, date: np.datetime64, day: Day, moisture: Array, totals: dict[str, Array]) -> dict[str, Array]:
    """A day's values [24, lat, lon] at the nodes by variable; `totals` holds the sums of the day before, then of it."""
    values = {"t2m": day.air_temperature + diurnal(), "skt": day.skin_temperature + diurnal()}
    values = {name: hours[:, NODES, NODES] for name, hours in values.items()}
    for name, amount in (
        ("tp", day.precipitation / 1000), ("ssr", day.net_shortwave * SECONDS), ("str", day.net_longwave * SECONDS)
    ):  # fmt: skip
        total = amount[NODES, NODES]
        so_far = np.broadcast_to(world.share(name, date), (23, *amount.shape))[:, NODES, NODES] * total
        # At 00 UTC stands the total of the day before; before the first day nothing has fallen.
        values[name] = np.concatenate([totals.get(name, np.zeros_like(total))[None], so_far])
        totals[name] = total
    for layer, water in enumerate(world.model(moisture, date)[:3, NODES, NODES], 1):
        values[f"swvl{layer}"] = np.broadcast_to(water, (24, *water.shape))
    return values


def write_cds(
    url: str,
    grid: Grid,
    name: str,
    hours: NDArray[np.datetime64],
    values: NDArray[np.float32],
    chunks: tuple[int, int, int] | None = None,
) -> None:
    """A NetCDF of the Climate Data Store as it converts GRIB since 2024: `valid_time`, and `number` and `expver`.

    Parameters
    ----------
    hours, values : [step] stamps, [step, lat, lon]
    chunks : steps, rows and columns of a chunk; by default some days of the whole grid
    """
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "file.nc")
        with h5netcdf.File(local, "w") as file:
            file.dimensions = {"valid_time": len(hours), "latitude": len(grid.lat), "longitude": len(grid.lon)}
            file.create_variable("number", (), "i8", data=0).attrs.update(
                {"long_name": "ensemble member numerical id", "units": "1", "standard_name": "realization"}
            )
            seconds = (hours.astype("M8[s]") - np.datetime64(0, "s")).astype("i8")
            file.create_variable("valid_time", ("valid_time",), "i8", data=seconds).attrs.update(
                {
                    "long_name": "time", "standard_name": "time", "units": "seconds since 1970-01-01",
                    "calendar": "proleptic_gregorian",
                }
            )  # fmt: skip
            for axis, centres, unit in (("latitude", grid.lat, "north"), ("longitude", grid.lon, "east")):
                file.create_variable(axis, (axis,), "f8", data=centres).attrs.update(
                    {"units": f"degrees_{unit}", "standard_name": axis, "long_name": axis}
                )
            versions = np.array(["0001"] * len(hours), object)
            file.create_variable("expver", ("valid_time",), h5netcdf.core.h5py.string_dtype(), data=versions)
            variable = file.create_variable(
                name, ("valid_time", "latitude", "longitude"), "f4", data=values, fillvalue=np.float32(np.nan),
                chunks=chunks or (min(len(hours), 124), *grid.shape), compression="gzip", compression_opts=1,
                shuffle=True,
            )  # fmt: skip
            variable.attrs.update(
                {
                    **CDS_ATTRIBUTES[name], "GRIB_gridType": "regular_ll", "GRIB_missingValue": 3.4028234663852886e38,
                    "coordinates": "number valid_time latitude longitude expver",
                }
            )  # fmt: skip
        put_file(local, url)


def _write_e_obs(
    root: str, grid: Grid, land: NDArray[np.bool_], dates: NDArray[np.datetime64], fields: dict[str, Array]
) -> None:
    """E-OBS: one packed file a variable, rows from south to north, days counted from 1950."""
    lat = E_OBS_LATITUDE + 0.1 * np.round((grid.lat[::-1] - E_OBS_LATITUDE) / 0.1)
    lon = E_OBS_LONGITUDE + 0.1 * np.round((grid.lon - E_OBS_LONGITUDE) / 0.1)
    about = {
        "tg": ("Celsius", "air_temperature", "mean temperature", 0.01),
        "rr": ("mm", "thickness_of_rainfall_amount", "rainfall", 0.1),
    }
    for name, values in fields.items():
        units, standard_name, long_name, scale = about[name]
        packed = np.where(land, np.round(values / scale), -9999).astype("i2")[:, ::-1]
        with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
            local = Path(folder, "file.nc")
            with h5netcdf.File(local, "w") as file:
                file.dimensions = {"time": len(dates), "latitude": len(lat), "longitude": len(lon)}
                since = (dates - np.datetime64("1950-01-01", "D")).astype("i4")
                axes = (("time", since, "days since 1950-01-01 00:00"), ("latitude", lat, "degrees_north"))
                for axis, data, unit in (*axes, ("longitude", lon, "degrees_east")):
                    file.create_variable(axis, (axis,), data=data).attrs.update({"units": unit, "standard_name": axis})
                variable = file.create_variable(
                    name, ("time", "latitude", "longitude"), "i2", data=packed, fillvalue=np.int16(-9999),
                    chunks=(1, *grid.shape), compression="gzip", compression_opts=1,
                )  # fmt: skip
                variable.attrs.update(
                    {
                        "units": units, "standard_name": standard_name, "long_name": long_name,
                        "scale_factor": np.float32(scale), "add_offset": np.float32(0),
                    }
                )  # fmt: skip
            put_file(local, join(root, f"forcing/e-obs/{name}_ens_mean_0.1deg_reg_v29.0e.nc"))
