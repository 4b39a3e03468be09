"""Gridded fields that are no forcing, such as other products' soil moisture, found and opened as forcing is.

Values are read lazily, chunk by chunk, by the same description of a file (`Scan`) that forcing is read by.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from somo.forcing.listing import ForcingError, SourceFile, find_urls
from somo.forcing.references.scan import Scan
from somo.forcing.references.scan_reader import ScanReader
from somo.forcing.references.scanning import scan_file
from somo.product.forcing import Files
from somo.product.patterns import Pattern

DAY_SECONDS = 86_400
DIMS = ("time", "lat", "lon")


@dataclass(frozen=True)
class FieldFile(SourceFile):
    """A file of gridded fields over time, of any format that forcing may have."""

    def open(self, variable: str, select: Mapping[str, float | str]) -> xr.DataArray:
        """One variable as a lazy field [time, lat, lon]: float32, NaN where there is no value.

        `time` is the middle of the interval that a value stands for where the file has time bounds, else its stamp;
        `units` among the attributes are the file's own. Rows and columns are in the file's order.

        Parameters
        ----------
        select : what to take along further dimensions, as in a declaration of forcing

        Raises
        ------
        ForcingError
            naming the file and what is wrong with it: no data file, no such variable, rows and columns that are no
            latitudes and longitudes, a calendar of 360 days, values of more than a day
        StorageError
            where network, server or rights fail
        """
        source = Files(url=self.url, variable=variable, select=dict(select))
        try:
            scans = scan_file(SourceFile(self.url, self.fingerprint, self.day), variable, source)
        except ForcingError as error:
            error_text = str(error).replace(f"correct forcing.{variable}.variable", "correct its variable")
            raise ForcingError(error_text) from error
        fields = [_field(scan) for scan in scans]
        # Only older files of ERA5 have several scans, one for each version; joining fields that are not in chunks
        # would read them whole.
        return fields[0] if len(fields) == 1 else xr.concat([field.chunk() for field in fields], "time")


def find_fields(url: str, variable: str, days: Iterable[dt.date]) -> list[FieldFile]:
    """Files of the days by a pattern of URLs, in the order of the days; none where there is no file.

    Parameters
    ----------
    url : with `{year}`, `{month}`, `{day}`, `{doy}`, `*` and `?`, as in a declaration of forcing
    variable : that will be read, whose metadata are part of a Zarr store's version
    """
    pattern = Pattern(url)
    existing = find_urls([pattern.on(day, "") for day in days], variable)
    files = [(file, pattern.day_of(file.url, "")) for of_name in existing.values() for file in of_name]
    return [FieldFile(file.url, file.fingerprint, day.isoformat() if day else "") for file, day in files]


def _field(scan: Scan) -> xr.DataArray:
    if scan.grid["kind"] != "regular":
        raise ForcingError(
            f"{scan.url}: {scan.variable} lies on a {scan.grid['kind']} grid; regrid it to latitude and longitude, as "
            "with cdo remapcon"
        )
    if scan.calendar.lower() == "360_day":
        raise ForcingError(f"{scan.url}: counts years of 360 days, which have no dates; use daily dates")
    values = xr.Variable(DIMS, indexing.LazilyIndexedArray(_FieldArray(scan)))
    if scan.units:
        values.attrs["units"] = scan.units
    coordinates = {
        "time": _middles(scan).astype("datetime64[s]").astype("datetime64[ns]"),
        "lat": np.array(scan.grid["lat"], "float64"),
        "lon": np.array(scan.grid["lon"], "float64"),
    }
    return xr.Dataset({scan.variable: values}, coordinates)[scan.variable]


def _middles(scan: Scan) -> NDArray[np.int64]:
    """[step] seconds since 1970-01-01 within the interval of each value: a mean is often stamped with its end."""
    bounds = scan.time_bounds
    if bounds is None or not (bounds[:, 1] > bounds[:, 0]).all():
        return scan.times
    width = int((bounds[:, 1] - bounds[:, 0]).max())
    if width > DAY_SECONDS:
        raise ForcingError(
            f"{scan.url}: {scan.variable} has values of {width / DAY_SECONDS:g} days by the bounds of its time; "
            "give files of daily or sub-daily values"
        )
    middles: NDArray[np.int64] = bounds.mean(axis=1).astype("int64")
    return middles


class _FieldArray(BackendArray):
    """The values of a scan [time, lat, lon] as xarray reads arrays of files; it pickles without the coordinates."""

    def __init__(self, scan: Scan) -> None:
        self.shape = (len(scan.times), *scan.array["shape"][1:])
        self.dtype = np.dtype("float32")
        # Latitudes and longitudes of a global grid would go to the workers with every block of days.
        self.scan = replace(scan, grid={}, bounds=None)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        values: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return values

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        """Values at numbers, slices or arrays of numbers along each dimension."""
        steps, rows, columns = (np.atleast_1d(np.arange(n)[k]) for k, n in zip(key, self.shape, strict=True))
        if not steps.size or not rows.size or not columns.size:
            values = np.empty((steps.size, rows.size, columns.size), "float32")
        else:
            window = (slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1))
            values = ScanReader(self.scan).decoded(steps, window)
            values = values[:, rows - window[0].start][:, :, columns - window[1].start]
        return values[tuple(0 if np.ndim(k) == 0 and not isinstance(k, slice) else slice(None) for k in key)]
