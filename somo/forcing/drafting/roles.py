"""The role of a file's field in a declaration: which forcing variable it is, and from which provider."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from somo.core.variables import FORCING, SOIL_MOISTURE
from somo.forcing.drafting.content import Field
from somo.forcing.units import conversion, per_day

NAMES: dict[str, tuple[str, ...]] = {
    "air_temperature": (
        "t2m", "2t", "t_2m", "tas", "tg", "tmean", "tair", "tair_f_inst", "temp", "temperature", "air_temperature",
        "2m_temperature", "temperature_air_2m_mean_24h",
    ),
    "skin_temperature": (
        "skt", "ts", "avgsurft", "avgsurft_inst", "skin_temperature", "lst_day_1km", "lst", "land_surface_temperature",
    ),
    "precipitation": (
        "tp", "pr", "rr", "pre", "precip", "precipitation", "prcp", "ppt", "rain", "rainfall", "rainf", "rainf_f_tavg",
        "prectotcorr", "prectot", "total_precipitation", "precipitation_flux", "precipitationcal", "grid/precipitation",
    ),
    "net_radiation": ("rn", "rnet", "net_radiation"),
    "net_shortwave": ("ssr", "rsns", "swgnt", "swnet", "swnet_tavg", "net_shortwave", "surface_net_solar_radiation"),
    "net_longwave": ("str", "rlns", "lwgnt", "lwnet", "lwnet_tavg", "net_longwave", "surface_net_thermal_radiation"),
    "downward_shortwave": (
        "ssrd", "rsds", "qq", "swdown", "srad", "downward_shortwave_radiation", "solar_radiation_flux",
        "adj_all_sfc_sw_down_daily", "surface_solar_radiation_downwards",
    ),
    "downward_longwave": (
        "strd", "rlds", "lwdown", "downward_longwave_radiation", "adj_all_sfc_lw_down_daily",
        "surface_thermal_radiation_downwards",
    ),
    "upward_shortwave": ("rsus", "adj_all_sfc_sw_up_daily"),
    "upward_longwave": ("rlus", "adj_all_sfc_lw_up_daily"),
    "specific_humidity": ("huss", "q2m", "qv2m", "qair", "specific_humidity"),
}  # fmt: skip
"""Names by which producers call each forcing variable, in small letters."""
REFERENCE_LAYERS_M: dict[str, tuple[float, float]] = {
    "swvl1": (0.0, 0.07), "swvl2": (0.07, 0.28), "swvl3": (0.28, 1.0),
}  # fmt: skip
"""Layers of ERA5 and ERA5-Land that reach into those of the product (ECMWF, IFS documentation, part IV, table 8.9)."""
# How far, as a share of it, a grid's step may be from a provider's: coordinates are often single precision.
ENOUGH_ALIKE = 0.01


def variable_of(field: Field) -> str | None:
    """The forcing variable that a field is, by its name, standard name and units; None if they do not tell."""
    # Names come first: many producers write the standard name of a similar quantity, few call one by another's name.
    name, standard = field.name.lower(), str(field.variable.attrs.get("standard_name", ""))
    by_name = [variable for variable, names in NAMES.items() if name in names]
    by_standard = [variable for variable, quantity in FORCING.items() if quantity.standard_name == standard]
    for variable in [*by_name, *by_standard]:
        if variable != SOIL_MOISTURE.name and _could_be(variable, field.units):
            return variable
    return None


def _could_be(variable: str, units: str) -> bool:
    """Whether units, if a file names them, can become those of a variable as rates or as amounts."""
    target = FORCING[variable].units
    return not units or any(conversion(per_day(units, amounts), target) is not None for amounts in (False, True))


def is_amount(variable: str, units: str) -> bool:
    """Whether numbers in these units are sums over a time, as millimetres of rain, and no rates."""
    target = FORCING[variable].units
    return conversion(units, target) is None and conversion(per_day(units, True), target) is not None


def provider_tables(known: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table that a declaration takes by `like`, with the keys that its provider's tables share."""
    for provider, table in known.items():
        for name, value in table.items():
            if isinstance(value, dict):
                yield f"{provider}.{name}", {**table, **value}


def likes_of(field: Field, url: str, providers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the providers' tables that fit a field: variable, units, steps a day and distance of nodes.

    Where the files are named as a provider names them, only that provider's tables are given. Of tables with equal keys
    only the first is given.

    Parameters
    ----------
    url : URL or pattern of its files
    """
    fitting = {like: table for like, table in provider_tables(providers) if _fits(field, table)}
    named = {like: table for like, table in fitting.items() if _is_named_so(url, str(table.get("files", "")))}
    distinct: dict[str, str] = {}
    for like, table in (named or fitting).items():
        keys = {key: value for key, value in table.items() if not isinstance(value, dict)}
        for key in ("title", "where", "licence", "note", "files"):
            keys.pop(key, None)
        distinct.setdefault(repr(sorted(keys.items())), like)
    return list(distinct.values())


def _fits(field: Field, table: Mapping[str, Any]) -> bool:
    if table.get("variable") != field.name:
        return False
    # ERA5 and ERA5-Land share names and units, and their sums mean different things: only the grid tells them apart.
    step, declared_step = field.step_deg, table.get("step_deg")
    if declared_step and (step is None or abs(step - declared_step) > ENOUGH_ALIKE * declared_step):
        return False
    if field.has_time and (table.get("frequency", "daily") == "daily") != field.is_daily:
        return False
    units = str(table.get("units", ""))
    return not field.units or not units or conversion(field.units, units) is not None


def _is_named_so(url: str, files: str) -> bool:
    """Whether names of files are made as a provider's; dots and fields of its pattern stand for anything."""
    name = files.rsplit("/", 1)[-1]
    if not re.search(r"[A-Za-z]{3}", re.sub(r"\{\w+\}|\.nc4?$|\.grib$|\.tif$", "", name)):
        # anybody may name files by nothing but dates and an ending
        return False
    loose = "".join(
        piece if index % 2 else re.escape(piece)
        for index, piece in enumerate(re.sub(r"\{\w+\}|\*|\.\.\.", "\0.*\0", name).split("\0"))
    )
    return re.fullmatch(loose, url.rsplit("/", 1)[-1]) is not None


def static_likes(field: Field, url: str, providers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the tables of static features that fit a field: all features that one provider makes from it.

    A band of a GeoTIFF has only a number as its name, so the name of the file has to say what it holds.
    """
    first_word = re.split(r"[^a-z]+", url.rsplit("/", 1)[-1].lower())[0]
    fitting: dict[str, list[str]] = {}
    for like, table in provider_tables(providers):
        provider, _, feature = like.partition(".")
        named = first_word == feature or _is_named_so(url, str(table.get("files", "")))
        if "within_cell" in table and _fits(field, table) and (named or not field.name.isdigit()):
            fitting.setdefault(provider, []).append(like)
    if len(fitting) != 1:
        return []
    likes = next(iter(fitting.values()))
    # A provider with a file for each feature names one of these files as its pattern, which thus fits all of its
    # features: sand_0-5cm_mean_1000.tif is sand, and neither silt nor clay.
    return [like for like in likes if like.partition(".")[2] == first_word] or likes
