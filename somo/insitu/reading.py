"""Recordings -> their bytes, in the order in which these lie: every range of an archive is read once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO

from somo.insitu.errors import SensorError
from somo.insitu.inflating import MOST_MEMBER_BYTES, Packed, inflate, unpacked
from somo.insitu.members import Member, open_object
from somo.insitu.sensor import Recording
from somo.storage.byte_ranges import read_range
from somo.storage.objects import read_bytes

# Most bytes of one request: so many that its latency does not count, and few beside a worker's memory.
RANGE_BYTES = 2**23
# Members of other variables in between are read along where they are this small: a second request costs more time.
GAP_BYTES = 2**16

Origin = tuple[str, tuple[Packed, ...]]


def in_stored_order(recordings: Iterable[Recording]) -> list[Recording]:
    """Recordings by the place of their first byte."""
    return sorted(recordings, key=lambda r: min(map(_position, r.members)))


def read_recordings(recordings: Sequence[Recording]) -> Iterator[tuple[Recording, list[bytes] | SensorError]]:
    """The members' bytes of each recording, or why they cannot be had; failures of the network are raised.

    Parameters
    ----------
    recordings : in stored order
    """
    with ExitStack() as stack:
        ranges = _Ranges([member for recording in recordings for member in recording.members], stack)
        for recording in recordings:
            contents: list[bytes] | SensorError
            try:
                contents = [_content(member, ranges) for member in recording.members]
            except SensorError as error:
                contents = error
            yield recording, contents


def read_members(members: Sequence[Member]) -> list[bytes | SensorError]:
    """Bytes of a few members, or why they cannot be had, in their order."""
    singles = [Recording("", (member,), "", "") for member in members]
    contents = (content for _, content in read_recordings(singles))
    return [c if isinstance(c, SensorError) else c[0] for c in contents]


def _content(member: Member, ranges: "_Ranges") -> bytes:
    if member.packed is not None:
        return inflate(member.packed, ranges.read(member), member.name)
    if member.size > MOST_MEMBER_BYTES:
        raise SensorError(f"{member.name} has {member.size} bytes, more than the {MOST_MEMBER_BYTES} allowed")
    return ranges.read_plain(member)


def _plain_bytes(member: Member) -> bytes:
    """All bytes of a plain file that still has the version that it was listed with."""
    # Web servers without range requests give whole files alone, and an empty file has no range.
    if not member.size or member.url.startswith(("http://", "https://")):
        return read_bytes(member.url)
    return read_range(member.url, member.version, 0, member.size)


def _position(member: Member) -> tuple[str, tuple[int, ...], int]:
    if member.packed is None:
        return member.url, (), 0
    return member.url, tuple(zipped.start for zipped in member.packed.inside), member.packed.start


@dataclass
class _Ranges:
    """The bytes of members, asked for in few requests; of these the latest is remembered.

    Attributes
    ----------
    stack : closes what had to be unpacked, at the end
    """

    members: Sequence[Member]
    stack: ExitStack
    spans: dict[Origin, list[tuple[int, int]]] = field(default_factory=dict)
    latest: tuple[Origin, int, bytes] | None = None
    latest_plain: tuple[Member, bytes] | None = None
    files: dict[Origin, IO[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        packed = sorted({_position(m): m for m in self.members if m.packed}.items())
        for _, member in packed:
            assert member.packed is not None
            spans = self.spans.setdefault((member.url, member.packed.inside), [])
            start, stop = member.packed.start, member.packed.stop
            if spans and start - spans[-1][1] <= GAP_BYTES and stop - spans[-1][0] <= RANGE_BYTES:
                spans[-1] = spans[-1][0], max(stop, spans[-1][1])
            else:
                spans.append((start, stop))

    def read(self, member: Member) -> bytes:
        """Bytes of a member of a zip, from its local header up to the next member."""
        packed = member.packed
        assert packed is not None
        origin = member.url, packed.inside
        if self.latest is None or self.latest[0] != origin or not self._holds(self.latest, packed):
            start, stop = next(s for s in self.spans[origin] if s[0] <= packed.start and packed.stop <= s[1])
            self.latest = origin, start, self._fetch(member, start, stop)
        _, start, data = self.latest
        return data[packed.start - start : packed.stop - start]

    def read_plain(self, member: Member) -> bytes:
        """Bytes of a plain file; a table may name the same one for several sensors in a row."""
        if self.latest_plain is None or self.latest_plain[0] != member:
            self.latest_plain = member, _plain_bytes(member)
        return self.latest_plain[1]

    @staticmethod
    def _holds(latest: tuple[Origin, int, bytes], packed: Packed) -> bool:
        return latest[1] <= packed.start and packed.stop <= latest[1] + len(latest[2])

    def _fetch(self, member: Member, start: int, stop: int) -> bytes:
        assert member.packed is not None
        if not member.packed.inside:
            return read_range(member.url, member.version, start, stop - start)
        file = self._unpacked(member, member.packed.inside)
        file.seek(start)
        return file.read(stop - start)

    def _unpacked(self, member: Member, inside: tuple[Packed, ...]) -> IO[bytes]:
        """The innermost of nested zips, inflated to the disk; only the latest one stays there."""
        origin = member.url, inside
        if origin not in self.files:
            self.stack.close()
            self.files.clear()
            file = self.stack.enter_context(open_object(member.url, member.version))
            for packed in inside:
                file = self.stack.enter_context(unpacked(file, packed, member.path))
            self.files[origin] = file
        return self.files[origin]
