"""Which format a file has, judged by its content; an error names what it is instead where no format fits."""

from collections.abc import Callable
from importlib import import_module

from somo.forcing.formats.opening import Handle, file_handle
from somo.forcing.formats.others import what_else
from somo.forcing.formats.stored import Format, UnreadableError
from somo.forcing.listing import SourceFile

FORMATS = {
    "hdf5": ("somo.forcing.formats.hdf5", "Hdf5"),
    "netcdf3": ("somo.forcing.formats.netcdf3", "NetCdf3"),
    "grib": ("somo.forcing.formats.grib", "Grib"),
    "zarr": ("somo.forcing.formats.zarr_store", "ZarrStore"),
    "geotiff": ("somo.forcing.formats.geotiff", "GeoTiff"),
}
"""Where each format's class is; it is imported when a file of that format is met."""
HEAD_BYTES = 4096
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# GRIB messages of the meteorological network begin after a bulletin's header.
GRIB_WITHIN = 512
SIGNS: dict[str, Callable[[bytes], bool]] = {
    # HDF5 may begin after a block of the user's own, of 512 bytes or that times a power of two.
    "hdf5": lambda head: (
        head.startswith(HDF5_SIGNATURE) or any(head[n : n + 8] == HDF5_SIGNATURE for n in (512, 1024, 2048))
    ),
    "netcdf3": lambda head: head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"),
    "geotiff": lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    # The four letters may also stand in a page or a JSON text that a server sends with an error.
    "grib": lambda head: b"GRIB" in head[:GRIB_WITHIN] and not head.lstrip().startswith((b"<", b"{")),
}


def format_of(file: SourceFile, declared: str | None = None) -> str:
    """The name of a file's format: a key of `FORMATS`.

    Parameters
    ----------
    declared : the format that a declaration names, which is believed; None to judge by the content

    Raises
    ------
    UnreadableError
        saying what the file is instead
    """
    if file.fingerprint.startswith("zarr-"):
        return "zarr"
    with file_handle(file) as handle:
        # Read even where the format is declared, so that an empty file is named as such.
        head = _head(handle)
    if declared is not None:
        return declared
    for name, sign in SIGNS.items():
        if sign(head):
            return name
    if description := what_else(head, file.url):
        raise UnreadableError(description)
    raise UnreadableError(
        f"is of no format that can be read here ({', '.join(FORMATS)}): it begins with the bytes {head[:8].hex(' ')}"
    )


def _head(handle: Handle) -> bytes:
    if handle.size == 0:
        raise UnreadableError("is empty (0 bytes), as after a failed download; get it again")
    return handle.read(HEAD_BYTES)


def open_format(name: str) -> Format:
    """The format of a name."""
    module, cls = FORMATS[name]
    instance: Format = getattr(import_module(module), cls)()
    return instance
