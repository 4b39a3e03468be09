"""Folders of source files -> patterns of URLs: names that differ in dates and numbers alone are one source."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from somo.forcing.listing import ForcingError, find_urls, zarr_version
from somo.product.patterns import Pattern
from somo.storage.listing import listing
from somo.storage.objects import join

NO_FIELDS = (".csv", ".html", ".idx", ".json", ".md", ".pdf", ".png", ".py", ".toml", ".txt", ".xml", ".zip")
"""Endings of files beside forcing that hold no fields, or none that can be read from a folder."""
YEAR, MONTH, DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
# Dates as producers write them: a day, a day of the year, a month, a year. The finest reading comes first.
DATES = re.compile(
    rf"(?<!\d)(?:{YEAR}(?P<sep>[-_.]?){MONTH}(?P=sep){DAY}|{YEAR}(?P<doy>[0-3]\d\d)|{YEAR}(?P<sep2>[-_.]?){MONTH}|{YEAR})"
    r"(?!\d)"
)

# Numbers that say what a file holds and not which piece of it: swvl1 and swvl2, sand_0-5cm and sand_60-100cm.
OF_A_VARIABLE = re.compile(r"(?<![A-Za-z])\d+(?:[-_]\d+)?(?=cm)|(?<=[A-Za-z]{2})(?<!tile)(?<!part)(?<!file)\d(?=[_.-])")


@dataclass(frozen=True)
class NamePattern:
    """Files whose names differ only in dates and numbers.

    Attributes
    ----------
    url : the URL pattern that a declaration takes
    first, last : URLs of the first and the last of the files by name
    files : how many there are
    """

    url: str
    first: str
    last: str
    files: int

    def with_wildcards(self) -> str:
        """The same names with `*` in place of every date, for files that hold other days than their names say."""
        return re.sub(r"\{\w+\}(?:[-_.]?\{\w+\})*", "*", self.url)


def patterns_in(place: str) -> list[NamePattern]:
    """The sources that lie at a place: a folder, a file, a Zarr store, or a pattern that is taken as it is.

    Raises
    ------
    ForcingError
        where there is nothing that could be forcing
    """
    pattern = Pattern(place)
    if pattern.on_web or pattern.fields:
        # A web server lists nothing, and whoever writes {year} has said already how the names are made.
        return [NamePattern(place, place, place, 1)]
    if pattern.wild:
        urls = [file.url for file in find_urls([place], "").get(place, [])]
        return _grouped(urls, place)
    if zarr_version(place, "") is not None:
        return [NamePattern(place, place, place, 1)]
    keys = listing(place)
    if not keys:
        return _grouped([file.url for file in find_urls([place], "").get(place, [])], place)
    return _grouped([join(place, key) for key in _sources_among(keys)], place)


def _sources_among(keys: Iterable[str]) -> list[str]:
    """Keys of files that may hold fields, and of Zarr stores in place of what lies in them."""
    sources = set()
    for key in keys:
        store = re.match(r"(.*?\.zarr)(?:/|$)", key)
        if store:
            sources.add(store[1])
        elif not key.lower().endswith(NO_FIELDS):
            sources.add(key)
    return sorted(sources)


def _grouped(urls: Sequence[str], place: str) -> list[NamePattern]:
    groups = defaultdict(list)
    for url in urls:
        groups[_without_numbers(url)].append(url)
    if not groups:
        raise ForcingError(f"{place}: no file there that could hold fields; give a folder, a file or a pattern with *")
    return [
        NamePattern(_pattern_of(sorted(group)), min(group), max(group), len(group))
        for _, group in sorted(groups.items())
    ]


def _without_numbers(url: str) -> str:
    """What files of one source have in common: their names with `#` for every number but those of a variable."""
    folder, slash, name = url.rpartition("/")
    literals = OF_A_VARIABLE.split(name)
    kept_numbers = [*OF_A_VARIABLE.findall(name), ""]
    pieces = (re.sub(r"\d+", "#", text) + number for text, number in zip(literals, kept_numbers, strict=True))
    return re.sub(r"\d+", "#", folder) + slash + "".join(pieces)


def _pattern_of(urls: Sequence[str]) -> str:
    """One pattern for names that differ in their numbers alone; numbers that all share are kept."""
    if len(urls) == 1:
        return urls[0]
    spans = _common_dates(urls)
    dates_by_span = [[url[start:stop] for url in urls] for start, stop in spans]
    # A date that all names share is that of a version or of a download.
    differ = any(len(set(dates)) > 1 for dates in dates_by_span)
    pieces, position = [], 0
    for (start, stop), dates in zip(spans, dates_by_span, strict=True):
        pieces.append(_joined([url[position:start] for url in urls]))
        if differ and _say_the_same(dates, dates_by_span[0]):
            pieces.append(_fields(dates[0]))
        else:
            # Of a first and a last day in one name, the first is where the file begins.
            pieces.append(dates[0] if len(set(dates)) == 1 else "*")
        position = stop
    pieces.append(_joined([url[position:] for url in urls]))
    return "".join(pieces)


def _say_the_same(dates: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two dates of every name are one, as the year of a folder and the month of the file in it."""
    digits = [(re.sub(r"\D", "", date), re.sub(r"\D", "", other)) for date, other in zip(dates, others, strict=True)]
    return all(date.startswith(other) or other.startswith(date) for date, other in digits)


def _common_dates(urls: Sequence[str]) -> list[tuple[int, int]]:
    """Where dates stand in all names, which then have digits of equal length up to there."""
    spans = [match.span() for match in DATES.finditer(urls[0])]
    return [
        (start, stop)
        for start, stop in spans
        if all((match := DATES.match(url, start)) is not None and match.end() == stop for url in urls)
    ]


def _fields(date: str) -> str:
    """The fields of a pattern that stand for a date."""
    match = DATES.fullmatch(date)
    assert match is not None
    separator = match["sep"] or match["sep2"] or ""
    digits = len(re.sub(r"\D", "", date))
    if match["doy"]:
        return "{year}{doy}"
    return separator.join(("{year}", "{month}", "{day}")[: {4: 1, 6: 2, 8: 3}[digits]])


def _joined(texts: Sequence[str]) -> str:
    """The text between dates, with `*` for numbers that differ."""
    if len(set(texts)) == 1:
        return texts[0]
    numbers = [re.findall(r"\d+", text) for text in texts]
    literals = re.split(r"\d+", texts[0])
    shown = [of_all[0] if len(set(of_all)) == 1 else "*" for of_all in zip(*numbers, strict=True)]
    return "".join(literal + number for literal, number in zip(literals, [*shown, ""], strict=True))
