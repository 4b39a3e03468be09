"""Patterns of URLs: the names that they give for a day and a domain, and the day that a name belongs to."""

import datetime as dt
import re
import string
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

SCHEMES = ("abfs", "abfss", "az", "file", "gcs", "gs", "http", "https", "memory", "s3", "zip")
DIGITS = {"year": 4, "month": 2, "day": 2, "doy": 3}
FIELDS = (*DIGITS, "domain")
# How Unicode writes a letter with a mark: as one character, or as two.
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
# A month without a year, or a day without a month, names no date.
NEEDS = {"month": ("year",), "day": ("year", "month"), "doy": ("year",)}


@dataclass(frozen=True)
class Pattern:
    """A URL with `{year}`, `{month}`, `{day}`, `{doy}` (day of the year), `{domain}`, `*` and `?`.

    `*` and `?` stand for any letters within one name; on a web server `?` begins a query and is no wildcard. The
    numbers are padded with zeros (`{month}` is 03) unless they are written as `{month:d}`. `zip://NAME::ARCHIVE` is a
    file in a zip archive; both parts may be patterns.
    """

    text: str

    @cached_property
    def pieces(self) -> tuple[tuple[str, str | None, str], ...]:
        """Literal text, the field after it and the field's format."""
        parsed = string.Formatter().parse(self.text)
        return tuple((literal, field, form or "") for literal, field, form, _ in parsed)

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of the fields that stand in it."""
        return frozenset(field for _, field, _ in self.pieces if field is not None)

    @property
    def by_day(self) -> bool:
        """Whether every day has its own name."""
        return bool(self.fields & {"day", "doy"})

    @property
    def on_web(self) -> bool:
        """Whether the files lie on a web server, which cannot be asked for its names."""
        return self.text.rsplit("::", 1)[-1].startswith(("http://", "https://"))

    @property
    def wild(self) -> bool:
        """Whether names can only be learnt from a listing."""
        return "*" in self.text or ("?" in self.text and not self.on_web)

    def on(self, day: dt.date, domain: str) -> str:
        """The URL of a day, in which `*` and `?` are left."""
        numbers = {"year": day.year, "month": day.month, "day": day.day, "doy": day.timetuple().tm_yday}
        texts = []
        for literal, field, form in self.pieces:
            texts.append(literal)
            if field == "domain":
                texts.append(domain)
            elif field is not None:
                texts.append(format(numbers[field], form or f"0{DIGITS[field]}d"))
        return "".join(texts)

    def day_of(self, url: str, domain: str) -> dt.date | None:
        """The day that a URL belongs to by its name; None if the name holds no day."""
        match = _regex(self, domain).fullmatch(url) if self.by_day else None
        if match is None:
            return None
        numbers = {field: int(value) for field, value in match.groupdict().items()}
        try:
            if "doy" in numbers:
                return dt.date(numbers["year"], 1, 1) + dt.timedelta(numbers["doy"] - 1)
            return dt.date(numbers["year"], numbers["month"], numbers["day"])
        # Four digits and two and two need not be a date: 2003-13-01 belongs to no day.
        except ValueError:
            return None

    def matches(self, url: str, domain: str) -> bool:
        """Whether a URL in a domain is one of those that the pattern describes."""
        return _regex(self, domain).fullmatch(url) is not None


@lru_cache(maxsize=1024)
def _regex(pattern: Pattern, domain: str) -> re.Pattern[str]:
    expressions, named = [], set()
    for literal, field, form in pattern.pieces:
        expressions.append(wildcards(literal, pattern.on_web))
        if field == "domain":
            expressions.append(re.escape(domain))
        # A field may stand twice, as in {year}/t2m_{year}.nc; a name of a group may not, so the second one refers back.
        elif field is not None and field in named:
            expressions.append(f"(?P={field})" if not form else r"\d+")
        elif field is not None:
            digits = r"\d+" if form else rf"\d{{{DIGITS[field]}}}"
            expressions.append(f"(?P<{field}>{digits})")
            named.add(field)
    return re.compile("".join(expressions))


def wildcards(text: str, on_web: bool = False) -> str:
    """Regular expression of a text in which `*` and `?` are wildcards within one name.

    A letter such as "ä" is one character or, in names that come from macOS, two: both count as the same name.
    """
    special = {"*": "[^/]*", "?": r"\?" if on_web else "[^/]"}
    spellings = dict.fromkeys(
        [text] if text.isascii() else [text, *(unicodedata.normalize(form, text) for form in FORMS)]
    )
    either = ["".join(special.get(letter, re.escape(letter)) for letter in spelling) for spelling in spellings]
    return either[0] if len(either) == 1 else f"(?:{'|'.join(either)})"


def pattern_faults(text: str) -> str | None:
    """A sentence about what is wrong with a URL pattern of a declaration; None if nothing is."""
    try:
        fields = Pattern(text).fields
    except ValueError as error:
        return f"url {text!r} has unbalanced braces ({error})"
    allowed = ", ".join(f"{{{field}}}" for field in FIELDS)
    if unknown := sorted(fields - set(FIELDS)):
        return f"url {text!r} has {{{unknown[0]}}}; allowed are {allowed}"
    for field in sorted(fields & NEEDS.keys()):
        if lacking := [needed for needed in NEEDS[field] if needed not in fields]:
            return f"url {text!r} has {{{field}}} without {{{lacking[0]}}}"
    if {"day", "doy"} <= fields:
        return f"url {text!r} has {{day}} and {{doy}}; give one of them"
    if not text.strip():
        return "url is empty; give the place of the files"
    return _place_faults(text) or _format_faults(text)


def _format_faults(text: str) -> str | None:
    for _, field, form in Pattern(text).pieces:
        if form and (field == "domain" or not re.fullmatch(r"0?\d?d", form)):
            return f"url {text!r} has {{{field}:{form}}}; a number is written as {{{field}}} or {{{field}:d}}"
    return None


def _place_faults(text: str) -> str | None:
    for address in text.split("::"):
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
        if scheme and scheme[1].lower() not in SCHEMES:
            return f"url {text!r} begins with {scheme[1]}://; known are {', '.join(f'{s}://' for s in SCHEMES)}"
    if text.startswith("zip://") != ("::" in text) or text.count("::") > 1:
        return f"url {text!r}: a file in an archive is written as zip://NAME::ARCHIVE"
    if Pattern(text).on_web and "*" in text:
        return f"url {text!r} has *, but a web server does not list its files; write the names with {{year}} and so on"
    return None
