"""What the name of an ISMN file and its first line say: variable, network, station, place, depth, instrument.

Names are `<CSE>_<network>_<station>_<variable>_<from>_<to>_<instrument>_<first>_<last>.stm`, first lines
`<CSE> <network> <station> <lat> <lon> <elevation> <from> <to> <instrument>`; both may hold the separator inside a name.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

SOIL_MOISTURE = "sm"
VARIABLES = frozenset(
    {
        *("sm", "ts", "su", "p", "ta", "fc", "wp", "paw", "ppaw", "sat", "sd", "sweq", "tsf", "tsfq"),
        *("si_h", "sa_h", "cl_h", "oc_h", "ws", "rh", "ps", "rn"),
    }
)
"""Short names of the ISMN's variables; a file of another one than soil moisture is passed by."""
MISSING = frozenset({"", "nan", "na", "null", "-", "--", "none", "n/a"})
"""What stands for a missing number, in lower case."""
# Older archives write depths with two digits inside of the file, and with six in its name.
HEADER_ROUNDING_M = 0.00501

_NAME = re.compile(
    r"(?P<station>.+)_(?P<variable>[A-Za-z]+(?:_h)?)_(?P<top>-?\d+(?:\.\d+)?)_(?P<bottom>-?\d+(?:\.\d+)?)"
    r"_(?P<instrument>.+)(?P<days>_(?P<first>\d+)_(?P<last>\d+)\.stm(?:\.gz|\.txt)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Named:
    """What a file's name and folders say of it; fields of which they say nothing are empty.

    Attributes
    ----------
    series : the name without its days: files that share it hold the series of one sensor
    last : YYYYMMDD, the last day that was asked for when the file was downloaded
    """

    network: str = ""
    station: str = ""
    variable: str = ""
    depth_m: tuple[float, float] | None = None
    instrument: str = ""
    series: str = ""
    last: str = ""


@dataclass(frozen=True)
class Header:
    """What a line says of a sensor, and how many of its tokens come before the value."""

    network: str
    station: str
    latitude: float
    longitude: float
    depth_m: tuple[float, float]
    instrument: str
    tokens: int


def read_name(path: str) -> Named:
    """What a path inside of an archive says."""
    place = PurePosixPath(path)
    folders = place.parts[:-1]
    match = _NAME.fullmatch(place.name)
    if match is None:
        variable = next((v for v in VARIABLES if f"_{v}_" in place.name.lower()), "")
        return Named(*_of_folders(folders), variable=variable, series=str(place))
    network, station = _names(match["station"], folders)
    return Named(
        network, station, match["variable"].lower(), (float(match["top"]), float(match["bottom"])), match["instrument"],
        str(place).removesuffix(match["days"]), match["last"],
    )  # fmt: skip


def _of_folders(folders: Sequence[str]) -> tuple[str, str]:
    network, station = ["", "", *folders][-2:]
    return network, station


def _names(joined: str, folders: Sequence[str]) -> tuple[str, str]:
    """Network and station of `<CSE>_<network>_<station>`, where each may hold the separator."""
    network, station = _of_folders(folders)
    if network and station and joined.endswith(f"{network}_{station}"):
        return network, station
    # Most networks are their own CSE, so that their name stands there twice.
    doubled = re.match(r"(.+?)_\1_(.+)", joined)
    if doubled:
        return doubled[1], doubled[2]
    tokens = joined.split("_")
    return (tokens[1], "_".join(tokens[2:])) if len(tokens) > 2 else (network, station or joined)


def read_header(tokens: Sequence[str], named: Named, numbers: int) -> Header | None:
    """Network, station, place and depth of a line that was cut at white space; None if it is no such line.

    Parameters
    ----------
    tokens : the line without its times
    named : what the file's name says, which decides between several readings of a line
    numbers : how many numbers follow the names: latitude, longitude, elevation, depths, and in each line of the format
        with everything in every line the value
    """
    readings = [
        header for i in range(2, len(tokens) - numbers + 1) if (header := _reading(tokens, i, numbers)) is not None
    ]
    if not readings:
        return None
    agreeing = [h for h in readings if named.depth_m and is_close(h.depth_m, named.depth_m)]
    # A station or an instrument may be called by a number; then the names of the file and its folders say where the
    # numbers of the place begin.
    same_names = [h for h in readings if (h.network, h.station) == (named.network, named.station)]
    return (agreeing or same_names or readings)[-1]


def _reading(tokens: Sequence[str], i: int, numbers: int) -> Header | None:
    """The line read so that its numbers begin with token `i`."""
    try:
        # In every line of the other format the value is the sixth number; without it, a line that is read one token
        # too late has the longitude for its latitude, and a flag for its value.
        lat, lon, _, top, bottom, *_ = (_number(t) for t in tokens[i : i + numbers])
    except ValueError:
        return None
    # Written so that a place that is missing is refused too.
    if not (abs(lat) <= 90 and abs(lon) <= 360):
        return None
    network, station = _network_and_station(tokens[:i])
    instrument = " ".join(tokens[i + numbers :]).strip("'\"")
    return Header(network, station, lat, lon, (top, bottom), instrument, i + 5)


def _number(token: str) -> float:
    """A number of a line; a value that is missing is none."""
    return float("nan") if token.lower() in MISSING else float(token)


def _network_and_station(tokens: Sequence[str]) -> tuple[str, str]:
    """Names in `<CSE> <network> <station>`, where each may hold a space."""
    for n in range(1, (len(tokens) - 1) // 2 + 1):
        if list(tokens[:n]) == list(tokens[n : 2 * n]):
            return " ".join(tokens[:n]), " ".join(tokens[2 * n :])
    return (tokens[1], " ".join(tokens[2:])) if len(tokens) > 2 else (tokens[0], tokens[1])


def depth_of(header: Header, named: Named) -> tuple[float, float]:
    """Depth interval of a sensor in metres, shallow end first: the header's, in the digits of the name."""
    chosen = header.depth_m
    if named.depth_m and (any(map(math.isnan, chosen)) or is_close(chosen, named.depth_m)):
        chosen = named.depth_m
    top, bottom = sorted(chosen)
    return top, bottom


def instrument_of(header: Header, named: Named) -> str:
    """Name of the instrument: the header's, unless the file's name tells more.

    Of two instruments at one depth the names of the files may end in `-A` and `-B`, and both headers without.
    """
    if _plain(named.instrument).startswith(_plain(header.instrument)) and named.instrument:
        return header.instrument if _plain(named.instrument) == _plain(header.instrument) else named.instrument
    return header.instrument or named.instrument


def _plain(instrument: str) -> str:
    return "".join(c for c in instrument.lower() if c.isalnum())


def is_close(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two depth intervals differ by no more than what older archives round, whichever end stands first."""
    return all(abs(x - y) <= HEADER_ROUNDING_M for x, y in zip(sorted(a), sorted(b), strict=True))
