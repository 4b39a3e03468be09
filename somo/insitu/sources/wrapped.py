"""Files as people pass them on: compressed by gzip, which is undone here, or of a kind that has to be saved as text."""

import codecs
import re
import zlib

from somo.insitu.errors import SensorError
from somo.insitu.inflating import MOST_MEMBER_BYTES

GZIP = b"\x1f\x8b"
# A tape archive has its mark inside of its first block.
TAR_MARK, TAR_MARK_AT = b"ustar", 257
FOREIGN_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(beginning, re.IGNORECASE | re.DOTALL), sentence)
    for beginning, sentence in (
        (rb"PK\x03\x04.{0,600}(?:\[Content_Types\]|xl/|docProps)", "an Excel workbook; save its sheet as CSV"),
        (rb"\xd0\xcf\x11\xe0", "an Excel workbook of the old kind; save its sheet as CSV"),
        (rb"PK\x03\x04", "a zip; name the file inside of it, as archive.zip/file.csv"),
        (rb"7z\xbc\xaf\x27\x1c", "packed as 7z; unpack it first"),
        (rb"Rar!\x1a\x07", "packed as rar; unpack it first"),
        (rb"BZh\d1AY&SY", "compressed by bzip2; unpack it first"),
        (rb"\xfd7zXZ\x00", "compressed by xz; unpack it first"),
        (rb"\x28\xb5\x2f\xfd", "compressed by zstd; unpack it first"),
        (rb"\x89HDF\r\n|CDF[\x01\x02\x05]", "NetCDF or HDF5; write its series as CSV or Parquet"),
        (rb"ARROW1", "Feather; write its series as CSV or Parquet"),
        (rb"SQLite format 3|\x80[\x02-\x05]", "a data base or a pickle; write its series as CSV or Parquet"),
        (rb"\s*(?:<!DOCTYPE\s+html|<html)", "a web page, perhaps one that asks for a login; download the file again"),
        (rb"version https://git-lfs", "a pointer of git-lfs and not the file itself; run `git lfs pull`"),
    )
)
"""How files begin that people take for tables, and what to do with each; the first one that fits counts."""
# What an archive may hold beside zips that are looked into; the ISMN itself delivers zips.
PACKED_NAME = re.compile(r".+\.(?:tar(?:\.\w+)?|tgz|tbz2|txz|7z|rar)", re.IGNORECASE)


def plain_bytes(data: bytes) -> bytes:
    """A file's bytes without gzip around them, and in UTF-8 where its first bytes say that it is UTF-16.

    Raises
    ------
    SensorError
        where it is damaged or too large once inflated, or of a kind that is no text; the text says what to do
    """
    if data.startswith(GZIP):
        data = _gunzipped(data)
    if data[TAR_MARK_AT : TAR_MARK_AT + len(TAR_MARK)] == TAR_MARK:
        raise SensorError("file cannot be read: it is packed as tar; unpack it first")
    kind = next((sentence for pattern, sentence in FOREIGN_KINDS if pattern.match(data)), "")
    if kind:
        raise SensorError(f"file cannot be read: it is {kind}")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace").encode()
    return data


def _gunzipped(data: bytes) -> bytes:
    """All streams of a gzip file, which may hold several one after the other; no further than one file may reach."""
    pieces, total_bytes = [], 0
    while data.startswith(GZIP):
        # 16 more than the widest window tells zlib to expect the header of gzip.
        inflater = zlib.decompressobj(zlib.MAX_WBITS + 16)
        try:
            pieces.append(inflater.decompress(data, MOST_MEMBER_BYTES + 1 - total_bytes))
        except zlib.error as error:
            raise SensorError(f"file cannot be read: its gzip is damaged ({error}); get it again") from error
        total_bytes += len(pieces[-1])
        if total_bytes > MOST_MEMBER_BYTES:
            raise SensorError(f"file would inflate to more than the {MOST_MEMBER_BYTES} bytes allowed; cut it")
        if not inflater.eof:
            raise SensorError("file cannot be read: its gzip is cut short; get it again")
        data = inflater.unused_data
    return b"".join(pieces)
