"""An invented Europe and US as their providers deliver them: what `flows/products/europe.toml` names, in small windows.

Structures are those of the providers' files; only their axes are cut to a window, as a subset of the Climate Data Store
is. Weather and soil come from the same seed on the nodes of ERA5-Land and on the cells of E-OBS, half a cell apart.
"""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

import h5netcdf
import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.storage.objects import join, put_file
from somo.synthetic.archive import Seen, place_stations, write_archive
from somo.synthetic.compared import write_cosmos, write_products
from somo.synthetic.delivered_statics import write_elevation, write_land_cover, write_soil
from somo.synthetic.europe import SECONDS, Domain, World, diurnal
from somo.synthetic.fields import Array
from somo.synthetic.land import Land

E_OBS_LATITUDE, E_OBS_LONGITUDE = 25.04986061, -24.95013939
"""First centres of E-OBS at 0.1 degrees, 1.4e-4 degrees off whole steps."""
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
"""Attributes of the Climate Data Store's NetCDF since 2024, which its converter takes from GRIB."""


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
    archives = {"home": ("insitu/europe.zip", "header+values"), "us": ("insitu/us.zip", "ceop")}
    regions = []
    for name, grid in (("home", home), ("us", us)):
        _write_era5_land(join(root, f"forcing/era5-land/{name}"), _made(name, _nodes(grid), seed), days)
        world = _made(name, grid, seed)
        regions.append((grid, world.land))
        dates, weather, moisture = zip(*world.days(*days), strict=True)
        truth = np.where(world.land.land, np.stack(moisture), np.nan)
        air = np.stack([day.air_temperature for day in weather])
        if name == "home":
            rain = np.stack([day.precipitation for day in weather])
            _write_e_obs(root, world, np.array(dates), {"tg": air - 273.15, "rr": rain})
            write_products(join(root, "compared"), grid, truth, np.array(dates), seed)
            write_cosmos(join(root, "compared/cosmos_europe"), grid, truth, np.array(dates), 4, seed)
        placed = place_stations(grid, world.land.land, world.land.elevation, name, stations, seed)
        at = [(station, *divmod(station.cell, len(grid.lon))) for station in placed]
        seen = [Seen(np.array(dates), truth[:, :, row, column], air[:, row, column]) for _, row, column in at]
        path, form = archives[name]
        write_archive(root, path, zip(placed, seen, strict=True), form, seed)  # type: ignore[arg-type]
    _write_statics(join(root, "forcing"), regions, seed)


def _made(name: str, grid: Grid, seed: int) -> World:
    return World.make(Domain(name, grid, 0, False), seed)


def _nodes(grid: Grid) -> Grid:
    """Nodes of ERA5-Land around cells: whole tenths of a degree."""
    (lat_edges, lon_edges), half = grid.bounds(), grid.step_deg / 2
    return Grid.regular(
        lon_edges.min() - half, lon_edges.max() + half, lat_edges.min() - half, lat_edges.max() + half, grid.step_deg
    )


def _write_statics(root: str, regions: Sequence[tuple[Grid, Land]], seed: int) -> None:
    """Relief, land cover and soil of all regions."""
    write_elevation(join(root, "etopo/ETOPO_2022_v1_60s_N90W180_surface.nc"), regions)
    write_land_cover(join(root, "landcover/C3S-LC-L4-LCCS-Map-300m-P1Y-2020-v2.1.1.nc"), regions, seed)
    for soil, depth, field in (
        ("sand", "0-5cm", "sand_surface"), ("clay", "0-5cm", "clay_surface"),
        ("sand", "60-100cm", "sand_deep"), ("clay", "60-100cm", "clay_deep"),
    ):  # fmt: skip
        write_soil(join(root, f"soilgrids/{soil}_{depth}_mean_1000.tif"), regions, attrgetter(field))


def _write_era5_land(root: str, world: World, days: tuple[np.datetime64, np.datetime64]) -> None:
    """A file a variable and month; sums run from 00 UTC, and the first hour after the last day completes it."""
    land = world.land.land
    totals: dict[str, Array] = {}
    hours: dict[str, list[Array]] = {name: [] for name in CDS_ATTRIBUTES}
    for month, in_month in itertools.groupby(_hourly(world, days, totals), lambda day: day[0].astype("M8[M]")):
        dates = []
        for date, values in in_month:
            dates.append(date)
            for name, of_day in values.items():
                hours[name].append(np.where(land, of_day, np.nan).astype("float32"))
        stamps = (np.array(dates, "M8[h]")[:, None] + np.arange(24)).ravel().astype("M8[h]")
        for name, parts in hours.items():
            url = join(root, f"{name}_{str(month).replace('-', '_')}.nc")
            _write_cds(url, world.domain.grid, name, stamps, np.concatenate(parts))
            parts.clear()
    after = days[1].astype("M8[D]") + 1
    for name, total in totals.items():
        url = join(root, f"{name}_{str(after.astype('M8[M]')).replace('-', '_')}.nc")
        completed = np.where(land, total, np.nan).astype("float32")[None]
        _write_cds(url, world.domain.grid, name, after.astype("M8[h]").reshape(1), completed)


def _hourly(
    world: World, days: tuple[np.datetime64, np.datetime64], totals: dict[str, Array]
) -> Iterator[tuple[np.datetime64, dict[str, Array]]]:
    """Each day's values [24, lat, lon] by variable; `totals` holds the sums of the day that came last."""
    for date, day, moisture in world.days(*days):
        values = {"t2m": day.air_temperature + diurnal(), "skt": day.skin_temperature + diurnal()}
        for name, total in (
            ("tp", day.precipitation / 1000), ("ssr", day.net_shortwave * SECONDS), ("str", day.net_longwave * SECONDS)
        ):  # fmt: skip
            yesterday = totals.get(name, np.zeros_like(total))
            values[name] = np.concatenate([yesterday[None], total * world.share(name, date)])
            totals[name] = total
        for layer, water in enumerate(world.model(moisture, date)[:3], 1):
            values[f"swvl{layer}"] = np.broadcast_to(water, (24, *water.shape))
        yield date, values


def _write_cds(url: str, grid: Grid, name: str, hours: NDArray[np.datetime64], values: NDArray[np.float32]) -> None:
    """A NetCDF of the Climate Data Store as it converts GRIB since 2024: `valid_time`, and `number` and `expver`."""
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
                chunks=(min(len(hours), 124), *grid.shape), compression="gzip", compression_opts=1, shuffle=True,
            )  # fmt: skip
            variable.attrs.update(
                {
                    **CDS_ATTRIBUTES[name], "GRIB_gridType": "regular_ll", "GRIB_missingValue": 3.4028234663852886e38,
                    "coordinates": "number valid_time latitude longitude expver",
                }
            )  # fmt: skip
        put_file(local, url)


def _write_e_obs(root: str, world: World, dates: NDArray[np.datetime64], fields: dict[str, Array]) -> None:
    """E-OBS: one packed file a variable, rows from south to north, days counted from 1950."""
    grid, land = world.domain.grid, world.land.land
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
