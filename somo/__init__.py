"""SoMo: daily soil moisture learnt from in-situ measurements. `somo.open` reads what was published."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import xarray as xr


def open(
    url: str, version: str = "latest", anon: bool = True, layout: Literal["maps", "series"] = "maps"
) -> "xr.Dataset":
    """Open a published version from its bucket, lazily.

    Parameters
    ----------
    url : root of the bucket, `s3://...`, `https://...` or a folder; with `/v1.0.0` at its end, that version of it
    version : `"1.0.0"`, or the one released last
    anon : read without credentials
    layout : the store that answers whole maps fastest, or the one that answers whole series fastest

    Returns
    -------
    soil_moisture and soil_moisture_std [depth, time, lat, lon] in m3 m-3, status [time],
    applicability [depth, lat, lon]

    Raises
    ------
    somo.storage.objects.StorageError
        if there is no such version, or none is released and none is named
    ValueError
        if the address ends in another version than the one that is asked for
    """
    from somo.core.addresses import root_and_version
    from somo.publish.reader import open_version

    root, chosen_version = root_and_version(url, version)
    return open_version(root, chosen_version, anon, layout)
