"""Files of no readable format: what they are instead, and what to do about it."""

import re
from collections.abc import Mapping

UNPACK = "unpack it ({}) and declare the unpacked file"
BEGINNINGS: dict[bytes, str] = {
    b"\x0e\x03\x13\x01": (
        "is an HDF4 file (HDF-EOS 2, as older MODIS products), which cannot be read in place; convert it with h4toh5 "
        "or gdal_translate, or get the product as NetCDF-4, HDF5 or GeoTIFF"
    ),
    b"PK\x05\x06": "is an empty zip archive; get it again",
    b"\x1f\x8b": f"is compressed with gzip; {UNPACK.format('gunzip')}",
    b"\x1f\x9d": f"is compressed with compress; {UNPACK.format('uncompress')}",
    b"BZh": f"is compressed with bzip2; {UNPACK.format('bunzip2')}",
    b"\xfd7zXZ\0": f"is compressed with xz; {UNPACK.format('unxz')}",
    b"\x28\xb5\x2f\xfd": f"is compressed with Zstandard; {UNPACK.format('unzstd')}",
    b"7z\xbc\xaf\x27\x1c": f"is a 7-Zip archive; {UNPACK.format('7z x')}",
    b"Rar!": f"is a RAR archive; {UNPACK.format('unrar x')}",
    b"version https://git-lfs": "is a pointer of Git LFS and no data; run git lfs pull",
    b"\x93NUMPY": "is a NumPy array, which has no coordinates; write it as NetCDF-4",
    b"PAR1": "is a Parquet table and no gridded file; declare gridded files",
    b"%PDF": "is a PDF document and no data; declare gridded files",
    b"BUFR": "is a BUFR message with single observations and no gridded file; declare gridded files",
}
ZIP_BEGINNING = b"PK\x03\x04"
ZARR_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata", ".zattrs")
HTML_BEGINNINGS = (b"<!doctype html", b"<html", b"<head", b"<!--")


def what_else(head: bytes, url: str) -> str | None:
    """A sentence that names what a file is by its first bytes; None if nobody knows."""
    for beginning, description in BEGINNINGS.items():
        if head.startswith(beginning):
            return description.format(url=url)
    # An archive of tar has its mark behind the name of its first member.
    if head[257:262] == b"ustar":
        return f"is a tar archive; {UNPACK.format('tar -x')}"
    if not head.strip(b"\0"):
        return "begins with nothing but zero bytes, as an unfinished download; get it again"
    return _which_text(head)


def what_archive(sizes: Mapping[str, int], url: str) -> str:
    """A sentence on a zip archive by the names and sizes of its files, with the way in which they can be read."""
    if any(name.rpartition("/")[2] in ZARR_DOCUMENTS for name in sizes):
        # Its chunks have no places that references could point to while the store is one compressed file.
        return (
            "is a Zarr store in a zip archive, which is read as a folder alone; unpack it (unzip -d FOLDER.zarr) and "
            "declare that folder"
        )
    # The largest file is data, and beside it there may be a text.
    largest = max(sizes, key=lambda name: sizes[name])
    return f'is a zip archive; declare the files in it: url = "zip://{largest}::{url}"'


def _which_pointer(start: bytes) -> str | None:
    """What kind of text names the data of other files, which are read in its place; None if it is none."""
    if start.startswith(b"<VRTDataset"):
        return (
            "is a virtual raster of GDAL (VRT), a text that names other files; declare these, or write them out as "
            "GeoTIFF with gdal_translate"
        )
    if b"unidata.ucar.edu/namespaces/netcdf/ncml" in start:
        return "is NcML, a text about NetCDF files; declare the files themselves"
    if not start.startswith(b"{"):
        return None
    if re.search(rb'"refs"\s*:', start):
        return "is a set of references to other files (kerchunk); declare the files that it points to"
    if re.search(rb'"zarr_(format|consolidated_format)"\s*:', start):
        return "is a metadata document of a Zarr store; declare the folder that it lies in"
    return None


def _which_text(head: bytes) -> str | None:
    """What kind of text a file is; servers send texts where they refuse data."""
    # Texts may begin with the byte order mark of UTF-8.
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.lower().startswith(HTML_BEGINNINGS) or b"<html" in start[:1024].lower():
        title = re.search(rb"<title[^>]*>\s*(.{1,80}?)\s*</title>", head, re.IGNORECASE | re.DOTALL)
        title_in_brackets = f" ({title[1].decode('utf-8', 'replace')})" if title else ""
        return (
            f"is an HTML page{title_in_brackets}, as a server sends for a login or an error, and no data; log in "
            "(~/.netrc or a token in FSSPEC_HTTPS) and get the file again"
        )
    if (description := _which_pointer(start)) is not None:
        return description
    if start.startswith((b"<?xml", b"<Error")):
        return "is an XML text, as an object store sends with an error, and no data; get the file again"
    if start[:5].lower() == b"ncols":
        return "is an ESRI ASCII grid; convert it to GeoTIFF with gdal_translate"
    if not head.isascii() or b"\0" in head:
        return None
    if start[:1] in (b"{", b"["):
        return "is a JSON text, as a server sends with an error, and no data; get the file again"
    return f"is a plain text and no gridded file; it begins with {head[:60].decode('ascii')!r}"
