"""Messages of a GRIB file without their values: where each begins and ends, and a header that ecCodes can read.

Only the sections before the values are read; a message without its values is put together from them (WMO Manual on
Codes, FM 92 GRIB, editions 1 and 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from somo.forcing.formats.opening import Handle
from somo.forcing.formats.stored import UnreadableError

# What may lie between two messages: bulletin headers and padding.
PADDING_BYTES = 2**16
# ECMWF's GRIB 1 beyond 8 MiB: lengths count in 120 bytes, and the values' section holds what is too much.
LARGE, LARGE_UNIT = 0x800000, 120
END = b"7777"


@dataclass(frozen=True)
class Message:
    """One message: its place in the file, and its header as a message of its own."""

    offset: int
    size: int
    header: bytes


def messages(handle: Handle) -> Iterator[Message]:
    """The messages of a file, in order.

    Raises
    ------
    UnreadableError
        if a message is cut off, damaged or of an unknown edition
    """
    at = 0
    while (start := _next(handle, at)) is not None:
        beginning = _bytes(handle, start, 16)
        if beginning[7] not in (1, 2):
            raise UnreadableError(
                f"has a message of GRIB edition {beginning[7]} at byte {start}; editions 1 and 2 are read"
            )
        size, header = _edition_1(handle, start) if beginning[7] == 1 else _edition_2(handle, start)
        if start + size > handle.size or _bytes(handle, start + size - 4, 4) != END:
            raise UnreadableError(
                f"is truncated: the message at byte {start} has {size} bytes, the file ends at {handle.size}; get it "
                "again"
            )
        yield Message(start, size, header)
        at = start + size


def _next(handle: Handle, at: int) -> int | None:
    """Where the next message begins; None if there is none."""
    handle.seek(at)
    between = handle.read(min(PADDING_BYTES, max(handle.size - at, 0)))
    distance = between.find(b"GRIB")
    if distance < 0 and between.strip(b"\0 \r\n"):
        raise UnreadableError(f"has no GRIB message at byte {at}; it is damaged: get it again")
    return None if distance < 0 else at + distance


def _bytes(handle: Handle, at: int, size: int) -> bytes:
    handle.seek(at)
    data = handle.read(size)
    if len(data) != size:
        raise UnreadableError(f"is truncated at byte {handle.size}; get it again")
    return data


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _edition_1(handle: Handle, start: int) -> tuple[int, bytes]:
    size = _number(_bytes(handle, start + 4, 3))
    at = start + 8
    product = _bytes(handle, at, _number(_bytes(handle, at, 3)))
    at += len(product)
    grid = b""
    if product[7] & 0x80:
        grid = _bytes(handle, at, _number(_bytes(handle, at, 3)))
        at += len(grid)
    if product[7] & 0x40:
        at += _number(_bytes(handle, at, 3))
    values = _bytes(handle, at, 11)
    if size & LARGE and _number(values[:3]) < LARGE_UNIT:
        size = (size & ~LARGE) * LARGE_UNIT - _number(values[:3]) + 4
    # A header has no bitmap, as that is as long as the field.
    product = product[:7] + bytes([product[7] & ~0x40]) + product[8:]
    # Zero bits a value: ecCodes would count the values of a Gaussian grid and find none. Sections of edition 1 have an
    # even number of bytes, hence one of padding.
    body = product + grid + (12).to_bytes(3, "big") + values[3:10] + b"\0\0" + END
    return size, b"GRIB" + (8 + len(body)).to_bytes(3, "big") + b"\1" + body


def _edition_2(handle: Handle, start: int) -> tuple[int, bytes]:
    beginning = _bytes(handle, start, 16)
    size, at, sections = _number(beginning[8:16]), start + 16, {}
    while at < start + size - 4:
        length, number = _number(_bytes(handle, at, 4)), _bytes(handle, at + 4, 1)[0]
        if not 1 <= number <= 7 or length < 5:
            raise UnreadableError(f"has a damaged GRIB message at byte {start}; get it again")
        # Edition 2 may repeat sections 2 to 7 for further fields in the same message.
        if number in sections:
            raise UnreadableError(
                f"has several fields in the message at byte {start}; split them, as with grib_copy IN OUT"
            )
        # The bitmap (6) and the values (7) are as long as the field and stay unread.
        sections[number] = _bytes(handle, at, length) if number < 6 else b""
        at += length
    if not {1, 3, 4, 5} <= sections.keys():
        raise UnreadableError(f"has a damaged GRIB message at byte {start}; get it again")
    body = b"".join(sections.get(number, b"") for number in (1, 2, 3, 4, 5))
    # 255 says that there is no bitmap; the section of the values has nothing but its own header.
    body += (6).to_bytes(4, "big") + b"\x06\xff" + (5).to_bytes(4, "big") + b"\x07" + END
    return size, beginning[:8] + (16 + len(body)).to_bytes(8, "big") + body
