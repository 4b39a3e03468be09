"""Which format a file has, judged by its content; an error names what it is instead where no format fits."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from somo.forcing.formats.opening import Handle, file_handle
from somo.forcing.formats.others import ZIP_BEGINNING, what_archive, what_else
from somo.forcing.formats.stored import Format, UnreadableError
from somo.forcing.listing import SourceFile
from somo.storage import archives

# GRIB messages of the meteorological network begin after a bulletin's header.
GRIB_WITHIN = 512
HEAD_BYTES = 4096
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class FileFormat:
    """One format of files.

    Attributes
    ----------
    begins : whether a file that begins with these bytes is of this format
    reader : makes what follows `Format`; a callable, or "module:class" which is imported when such a file is met
    """

    begins: Callable[[bytes], bool]
    reader: Callable[[], Format] | str


def _begins_hdf5(head: bytes) -> bool:
    # HDF5 may stand behind a block of the user's own, whose length is a power of two from 512 on.
    return head.startswith(HDF5_SIGNATURE) or any(head[n : n + 8] == HDF5_SIGNATURE for n in (512, 1024, 2048))


FORMATS: dict[str, FileFormat] = {
    "hdf5": FileFormat(_begins_hdf5, "somo.forcing.formats.hdf5:Hdf5"),
    "netcdf3": FileFormat(
        lambda head: head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"),
        "somo.forcing.formats.netcdf3:NetCdf3",
    ),
    "geotiff": FileFormat(
        lambda head: head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "somo.forcing.formats.geotiff:GeoTiff"
    ),
    # A page or a JSON document may hold the word as well.
    "grib": FileFormat(
        lambda head: b"GRIB" in head[:GRIB_WITHIN] and not head.lstrip().startswith((b"<", b"{")),
        "somo.forcing.formats.grib:Grib",
    ),
    # A folder, which has no first bytes: `format_of` knows it by its listing.
    "zarr": FileFormat(lambda head: False, "somo.forcing.formats.zarr_store:ZarrStore"),
}


def register_format(name: str, file_format: FileFormat) -> None:
    """Let files of a further format be read; they are recognised by their first bytes.

    Raises
    ------
    ValueError
        if another format has the name
    """
    if name in FORMATS:
        raise ValueError(f"{name}: there is such a format of files")
    FORMATS[name] = file_format


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
    for name, file_format in FORMATS.items():
        if file_format.begins(head):
            return name
    if head.startswith(ZIP_BEGINNING):
        sizes = {member.name: member.size for member in archives.members(file.url, file.fingerprint)}
        raise UnreadableError(what_archive(sizes, file.url))
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
    reader = FORMATS[name].reader
    if not isinstance(reader, str):
        return reader()
    module, cls = reader.split(":")
    instance: Format = getattr(import_module(module), cls)()
    return instance
