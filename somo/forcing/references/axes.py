"""Which dimension of a variable is time, which are the rows and columns of its grid, and which index of others is read.

Dimensions are recognised by the CF conventions through cf-xarray: by attributes first, then by names. Rotated and
projected coordinates are never taken for latitudes and longitudes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cf_xarray  # noqa: F401  (the accessor `Dataset.cf`)
import numpy as np
import xarray as xr

from somo.forcing.formats.stored import Stored, UnreadableError
from somo.forcing.references.clock import is_clock

EXPVER = "expver"
VALID_TIME = "valid_time"
# CF allows all of these units of a latitude, and WRF writes the singular.
NORTH = {"latitude", "degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn", "degreen"}
EAST = {"longitude", "degrees_east", "degree_east", "degrees_e", "degree_e", "degreese", "degreee"}
# Of latitudes along a row that are one: 32-bit floats resolve 1.5e-5 degrees, and producers compute them.
SAME_DEG = 1e-4


@dataclass(frozen=True)
class Axes:
    """The dimensions of a variable, by their number; `time` is None where it has none.

    Attributes
    ----------
    fixed : dimension -> the index that is read of it
    versions : number of a legacy `expver` dimension, whose entries are merged; None if there is none
    steps : number of a dimension of forecast steps, whose entries are times of their own; None if there is none
    grid : as in `Scan.grid`
    """

    time: int | None
    y: int
    x: int
    fixed: dict[int, int]
    versions: int | None
    grid: dict[str, Any]
    steps: int | None = None


def resolve_axes(stored: Stored, select: Mapping[str, float | str]) -> Axes:
    """The axes of a variable.

    Parameters
    ----------
    select : further dimension -> coordinate value, or number without coordinate, that is read of it

    Raises
    ------
    UnreadableError
        where a dimension needs a choice in `select`, or rows and columns have no coordinates
    """
    coordinates = {dim: _along(stored.coordinates, dim) for dim in stored.dims}
    names = {*stored.dims, *(str(item.name) for item in coordinates.values() if item is not None)}
    if unknown := sorted(select.keys() - names):
        raise UnreadableError(
            f"has no dimension {unknown[0]!r} to select; it has {', '.join(stored.dims)}: correct select"
        )
    time = _time(stored, coordinates)
    mapping = _grid_mapping(stored)
    others = [dim for dim in stored.dims if dim != time]
    kinds = {dim: _kind(stored.coordinates, coordinates[dim]) for dim in others}
    y, x = _places(stored, others, kinds, mapping)
    number = {dim: n for n, dim in enumerate(stored.dims)}
    fixed, versions, steps = {}, None, None
    for dim in others:
        if dim in (y, x):
            continue
        if dim.lower() == EXPVER and stored.shape[number[dim]] > 1 and dim not in select:
            versions = number[dim]
        elif dim not in select and _are_forecast_steps(stored, dim, time):
            steps = number[dim]
        else:
            fixed[number[dim]] = _chosen(dim, stored.shape[number[dim]], coordinates[dim], select)
    grid = _grid(stored, y, x, coordinates, mapping, kinds)
    return Axes(None if time is None else number[time], number[y], number[x], fixed, versions, grid, steps)


def _are_forecast_steps(stored: Stored, dim: str, time: str | None) -> bool:
    """Whether `valid_time` [time, step] gives every step of every forecast a time of its own, as cfgrib writes them."""
    valid = stored.coordinates.variables.get(VALID_TIME)
    length = stored.shape[stored.dims.index(dim)]
    return valid is not None and length > 1 and set(valid.dims) == {dim, time} and is_clock(valid.attrs)


def _along(ds: xr.Dataset, dim: str) -> xr.DataArray | None:
    """The coordinate of a dimension: the variable of its name, else the only one along it that says what it is."""
    if dim in ds.variables and ds[dim].dims == (dim,):
        return ds[dim]
    alone = [ds[name] for name in ds.variables if ds[name].dims == (dim,)]
    self_described = [item for item in alone if item.attrs.get("units") or item.attrs.get("standard_name")]
    clocks = [item for item in self_described if is_clock(item.attrs)]
    chosen = clocks or self_described or alone
    return chosen[0] if chosen else None


def _time(stored: Stored, coordinates: Mapping[str, xr.DataArray | None]) -> str | None:
    """The dimension of time; where several have stamps (a forecast's start and its validity), that of validity."""
    clocks = {dim: item for dim, item in coordinates.items() if item is not None and _is_time(item)}
    valid = stored.coordinates.variables.get(VALID_TIME)
    # A single forecast as cfgrib writes it: `time` is one number, its start, and `valid_time` [step] has the times.
    if not clocks and valid is not None and is_clock(valid.attrs) and len(valid.dims) == 1:
        return str(valid.dims[0]) if valid.dims[0] in stored.dims else None
    if len(clocks) < 2:
        return next(iter(clocks), None)
    for word in ("valid_time", "time"):
        for dim, item in clocks.items():
            if dim == word or item.attrs.get("standard_name") == word:
                return dim
    return next(iter(clocks))


def _is_time(item: xr.DataArray) -> bool:
    if is_clock(item.attrs):
        return True
    return str(item.name).lower() in ("time", "valid_time", "date") and item.dtype.kind in "US"


def _kind(ds: xr.Dataset, item: xr.DataArray | None) -> str | None:
    """`latitude`, `longitude`, `y`, `x` or None."""
    if item is None:
        return None
    alone = xr.Dataset(coords={str(item.name): (item.dims, item.values, item.attrs)})
    for kind in ("latitude", "longitude"):
        if str(item.name) in alone.cf.coordinates.get(kind, []):
            return kind
    long_name = str(item.attrs.get("long_name", "")).lower()
    standard_name = str(item.attrs.get("standard_name", "")).lower()
    name = str(item.name).lower()
    # A standard name decides alone: that of a rotated pole is grid_latitude, and its long name may well be "latitude".
    if not standard_name:
        for kind, short in (("latitude", "lat"), ("longitude", "lon")):
            if name in (short, f"n{short}", kind) or long_name in (kind, short):
                return kind
    for kind, standard_names in (
        ("y", ("grid_latitude", "projection_y_coordinate")), ("x", ("grid_longitude", "projection_x_coordinate"))
    ):  # fmt: skip
        if standard_name in standard_names or str(item.attrs.get("axis", "")).upper() == kind.upper():
            return kind
    return {"rlat": "y", "y": "y", "yc": "y", "rlon": "x", "x": "x", "xc": "x"}.get(name)


def _grid_mapping(stored: Stored) -> dict[str, Any] | None:
    """Attributes of the variable's grid mapping; None where it is plain degrees."""
    # CF allows "crs: x y" too: the name of the mapping stands before the colon.
    name = str(stored.attrs.get("grid_mapping", "")).split(":")[0].split()
    candidates = [name[0]] if name else []
    candidates += [str(n) for n, v in stored.coordinates.variables.items() if "grid_mapping_name" in v.attrs]
    for candidate in candidates:
        if candidate in stored.coordinates.variables:
            attrs = stored.coordinates[candidate].attrs
            if attrs.get("grid_mapping_name") == "latitude_longitude":
                return None
            if attrs:
                return {key: _plain(value) for key, value in attrs.items()}
    return None


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _places(
    stored: Stored, dims: list[str], kinds: Mapping[str, str | None], mapping: dict[str, Any] | None
) -> tuple[str, str]:
    """The dimensions of rows and columns."""
    pairs = [("latitude", "longitude"), ("y", "x")]
    for rows, columns in pairs:
        y = [dim for dim in dims if kinds[dim] == rows]
        x = [dim for dim in dims if kinds[dim] == columns]
        if len(y) == 1 and len(x) == 1:
            return y[0], x[0]
    for item in stored.coordinates.variables.values():
        # A curvilinear grid: latitudes [row, column] name its dimensions, in this order.
        if item.ndim == 2 and _says(item, NORTH) and set(item.dims) <= set(dims):
            return str(item.dims[0]), str(item.dims[1])
    if cells := _dimension_of_cells(stored, dims):
        raise UnreadableError(
            f"lies on an unstructured grid: latitudes and longitudes both run along {cells}; bring it onto latitudes "
            "and longitudes first, as with cdo remapcon"
        )
    if moving := [
        str(name) for name, item in stored.coordinates.variables.items() if item.ndim > 2 and _says(item, NORTH)
    ]:
        raise UnreadableError(
            f"has latitudes {moving[0]} ({', '.join(map(str, stored.coordinates[moving[0]].dims))}) for every time, as "
            "WRF's; leave those of one time, [row, column], as with ncwa -a Time on them"
        )
    raise UnreadableError(
        f"has dimensions ({', '.join(stored.dims)}), of which latitude and longitude cannot be told: its coordinates "
        "have no units degrees_north and degrees_east and no CF standard names; add them, as with ncatted"
    )


def _dimension_of_cells(stored: Stored, dims: list[str]) -> str | None:
    """The dimension along which both latitudes and longitudes run, as on the grids of ICON; None if there is none."""
    along = [
        {item.dims for item in stored.coordinates.variables.values() if item.ndim == 1 and _says(item, words)}
        for words in (NORTH, EAST)
    ]
    return next((dim for dim in dims if all((dim,) in of_axis for of_axis in along)), None)


def _chosen(dim: str, length: int, coordinate: xr.DataArray | None, select: Mapping[str, float | str]) -> int:
    """The index that is read of a further dimension."""
    names = {dim, *([str(coordinate.name)] if coordinate is not None else [])}
    keys = [key for key in select if key in names]
    values = None if coordinate is None else coordinate.values
    listed = f"0..{length - 1}" if values is None else ", ".join(str(v) for v in values[:12].tolist())
    if not keys:
        if length == 1:
            return 0
        if dim.lower() in ("time", "valid_time"):
            raise UnreadableError(
                f"has times whose variable {dim} has no units such as 'days since 1970-01-01'; add them"
            )
        raise UnreadableError(
            f"has the further dimension {dim} with {length} entries ({listed}); choose one: select = {{ {dim} = "
            f"{_example(values)} }}"
        )
    wanted = select[keys[0]]
    if values is None:
        if isinstance(wanted, str) or not 0 <= wanted < length or wanted % 1:
            raise UnreadableError(f"has no {dim} number {wanted}; it has {listed}: correct select")
        return int(wanted)
    if isinstance(wanted, str) or values.dtype.kind in "US":
        matching = np.flatnonzero([str(v).strip() == str(wanted).strip() for v in values.tolist()])
    else:
        # Depths and levels are often in single precision, in which 0.07 is 0.0700000003.
        matching = np.flatnonzero(np.isclose(values.astype("float64"), wanted, rtol=1e-6, atol=1e-9))
    if len(matching) != 1:
        raise UnreadableError(f"has no {dim} {wanted}; it has {listed}: correct select")
    return int(matching[0])


def _example(values: Any) -> str:
    if values is None:
        return "0"
    first = values[0]
    # Seven digits: fewer would not be found again.
    return repr(str(first)) if values.dtype.kind in "US" else f"{float(first):.7g}"


def _grid(
    stored: Stored, y: str, x: str, coordinates: Mapping[str, xr.DataArray | None], mapping: dict[str, Any] | None,
    kinds: Mapping[str, str | None],
) -> dict[str, Any]:  # fmt: skip
    plane = _plane(stored.coordinates, y, x)
    degrees = kinds[y] == "latitude" and kinds[x] == "longitude"
    rotated = mapping is not None and "rotated" in str(mapping.get("grid_mapping_name", ""))
    if degrees and not rotated:
        lat, lon = (_centres(stored.coordinates, coordinates[dim]) for dim in (y, x))
        # A ten-thousandth more: the outermost nodes of some grids stand at 90.00001.
        if not all(abs(value) <= most for axis, most in ((lat, 90 + SAME_DEG), (lon, 720)) for value in axis):
            raise UnreadableError(f"has numbers in {y} and {x} that are no latitudes and longitudes; get it again")
        return {"kind": "regular", "lat": lat, "lon": lon}
    # Some files write the latitude of every point although all points of a row share it: a regular grid after all.
    if plane is not None and np.ptp(plane[0], axis=1).max() < SAME_DEG and np.ptp(plane[1], axis=0).max() < SAME_DEG:
        return {"kind": "regular", "lat": plane[0].mean(axis=1).tolist(), "lon": plane[1].mean(axis=0).tolist()}
    rotated = rotated or _is_rotated(coordinates[y])
    grid: dict[str, Any] = {"kind": "rotated" if rotated else "projected", "grid_mapping": mapping or {}}
    shape = dict(zip(stored.dims, stored.shape, strict=True))
    for key, dim in (("y", y), ("x", x)):
        item = coordinates[dim]
        grid[key] = list(range(shape[dim])) if item is None else _listed(item)
        grid[f"{key}_units"] = "1" if item is None else str(item.attrs.get("units", ""))
    if plane is not None:
        grid["lat2d"], grid["lon2d"] = (coordinate.tolist() for coordinate in plane)
    return grid


def _is_rotated(item: xr.DataArray | None) -> bool:
    return item is not None and item.attrs.get("standard_name") == "grid_latitude"


def _listed(item: xr.DataArray | None) -> list[float]:
    assert item is not None
    return [float(value) for value in item.values]


def _centres(ds: xr.Dataset, item: xr.DataArray | None) -> list[float]:
    """Centres of the cells along an axis: its coordinates, except where its bounds show that these are their edges."""
    assert item is not None
    edges = ds.variables.get(str(item.attrs.get("bounds", "")))
    if edges is None or edges.shape != (item.size, 2):
        return _listed(item)
    # Single precision keeps a hundred-thousandth of a degree: what is nearer to an edge than a hundredth of the cell is
    # that edge.
    low, high = np.sort(np.asarray(edges.values, "float64"), axis=1).T
    apart = 0.01 * (high - low)
    if any((abs(item.values - edge) < apart).all() for edge in (low, high)):
        return [float(centre) for centre in (low + high) / 2]
    return _listed(item)


def _plane(ds: xr.Dataset, y: str, x: str) -> tuple[Any, Any] | None:
    """Latitudes and longitudes [row, column], where the file has them for every point."""
    planes: dict[str, Any] = {}
    for kind, words in (("latitude", NORTH), ("longitude", EAST)):
        for item in ds.variables.values():
            if set(item.dims) == {y, x} and item.ndim == 2 and _says(item, words):
                planes.setdefault(kind, np.asarray(item.transpose(y, x).values, "float64"))
    return (planes["latitude"], planes["longitude"]) if len(planes) == 2 else None


def _says(item: xr.Variable, words: set[str]) -> bool:
    """Whether a variable's standard name or units are one of some words."""
    return any(str(item.attrs.get(key, "")).strip().lower() in words for key in ("standard_name", "units"))
