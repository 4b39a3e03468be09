"""In which line of a TOML file a key stands: parsers of TOML give the values without it."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence

HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
ASSIGNMENT = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
Location = tuple[int | str, ...]


def line_of(text: str, location: Sequence[int | str]) -> int | None:
    """Number, from 1 on, of the line that assigns a key or opens its table; None where no part of it is in the text.

    Parameters
    ----------
    location : names of tables and of the key, and numbers of elements of lists, as pydantic tells them
    """
    wanted = tuple(location)
    best, line = 0, None
    lines = text.splitlines()
    for number, stop, path in _assigned(lines):
        depth = _shared(path, wanted)
        # A key that is not in the file, as one that is missing, is told with the line of its table.
        if depth < len(path) or depth <= best:
            continue
        best, line = depth, number
        if depth < len(wanted):
            line = _inside(lines, number, stop, str(wanted[-1])) or number
    return line


def _inside(lines: Sequence[str], first: int, stop: int, key: str) -> int | None:
    """The line of a key in an inline table that begins in one line and ends before another."""
    assigned = re.compile(rf"(?<![\w-]){re.escape(key)}\s*=")
    return next((number for number in range(first, stop) if assigned.search(lines[number - 1])), None)


def _assigned(lines: Sequence[str]) -> Iterator[tuple[int, int, Location]]:
    """Every header and every assignment: its line, the line after its value, and its location."""
    table: Location = ()
    elements: Counter[Location] = Counter()
    number = 0
    while number < len(lines):
        header = HEADER.match(lines[number])
        assignment = None if header else ASSIGNMENT.match(lines[number])
        stop = number + 1
        if header:
            table = _numbered(_names(header[2]), elements)
            if header[1] == "[[":
                element = elements[table]
                elements[table] += 1
                table = (*table, element)
            yield number + 1, stop + 1, table
        elif assignment:
            stop = _end_of_value(lines, number)
            yield number + 1, stop + 1, (*table, *_names(assignment[1]))
        number = stop


def _numbered(names: Location, elements: Counter[Location]) -> Location:
    """A table inside the latest element of a list of tables has that element's number in its location."""
    location: Location = ()
    for name in names[:-1]:
        location = (*location, name)
        if location in elements:
            location = (*location, elements[location] - 1)
    return (*location, names[-1])


def _names(dotted: str) -> Location:
    return tuple(name.strip().strip("\"'") for name in re.findall(r""""[^"]*"|'[^']*'|[^.\s]+""", dotted))


def _end_of_value(lines: Sequence[str], first: int) -> int:
    """Index of the line after a value, which may be a list or a text over several lines."""
    # The parser itself knows where a value ends: the fewest lines that it accepts are the whole of it.
    for stop in range(first + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[first:stop]))
        except tomllib.TOMLDecodeError:
            continue
        return stop
    return first + 1


def _shared(path: Location, wanted: Location) -> int:
    """How many names at the beginning of both are the same."""
    count = 0
    for name, other in zip(path, wanted, strict=False):
        # A number of an element may come as text from a message.
        if str(name) != str(other):
            break
        count += 1
    return count
