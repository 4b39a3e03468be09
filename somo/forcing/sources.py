"""Which forcing files exist: (domain, variable, year[, month]) -> URL, size and version."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fsspec import AbstractFileSystem

from somo.product.declaration import Product
from somo.product.inputs import Source
from somo.storage.client import filesystem
from somo.storage.objects import fingerprint, version_of

ONE_DAY = dt.timedelta(days=1)


class ForcingError(ValueError):
    """Forcing that cannot be used; the text names file, variable or day and the remedy."""


@dataclass(frozen=True)
class SourceFile:
    """One file and the fingerprint (size and version) its bytes had when it was listed."""

    url: str
    fingerprint: str


def needed_days(product: Product) -> tuple[dt.date, dt.date | None]:
    """First and last day of forcing a product needs: its period, its spin-up and what it is trained on.

    The last day is None when the period is open: then as far as the files reach.
    """
    spinup = product.sequence.spinup_days * ONE_DAY
    first, last = product.period.start - spinup, product.period.end
    if (training := product.training.period) is not None:
        first = min(first, training.start - spinup)
        last = max(last, training.end) if last is not None and training.end is not None else last
    return first, last


def find_files(
    name: str, source: Source, domain: str, first: dt.date, last: dt.date | None, today: dt.date
) -> tuple[SourceFile, ...]:
    """Files of one variable that cover the days `first`..`last`, in order of time.

    Parameters
    ----------
    name : name of the variable, for messages
    first, last : days needed; without `last` every consecutive file up to `today` counts

    Raises
    ------
    ForcingError
        naming the first file that is missing and what to do
    """
    urls = list(dict.fromkeys(_urls(source, domain, first, last or today)))
    found = _list(urls)
    reach = max((i + 1 for i, url in enumerate(urls) if url in found), default=1)
    required = urls if last is not None else urls[:reach]
    if missing := [url for url in required if url not in found]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ForcingError(
            f"{missing[0]}: no such file{more}; forcing.{name} of domain {domain!r} needs the days {first} to "
            f"{last or 'the last available'} (spin-up included): provide the file, correct forcing.{name}.url, or "
            "change period or sequence.lookback"
        )
    after = (
        _list(_urls(source, domain, last + ONE_DAY, last + ONE_DAY)) if last is not None and _ends_at_00(source) else {}
    )
    found |= {url: file for url, file in after.items() if url not in found}
    return tuple(found[url] for url in dict.fromkeys([*required, *after]))


def _ends_at_00(source: Source) -> bool:
    """Whether the value at 00 UTC completes the day before, so that the next file may be needed."""
    return source.frequency == "sub-daily" and source.kind == "accumulated"


def url_of(source: Source, domain: str, year: int, month: int) -> str:
    """URL of the file that holds a month."""
    return source.url.format(year=year, month=f"{month:02d}", domain=domain)


def _urls(source: Source, domain: str, first: dt.date, last: dt.date) -> Iterator[str]:
    for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield url_of(source, domain, month // 12, month % 12 + 1)


def declares(source: Source, domain: str, url: str) -> bool:
    """Whether a URL is one that the source declares for a domain."""
    pattern = re.escape(source.url).replace(r"\{year\}", r"\d{4}").replace(r"\{month\}", r"\d{2}")
    return re.fullmatch(pattern.replace(r"\{domain\}", re.escape(domain)), url) is not None


def _list(urls: Iterable[str]) -> dict[str, SourceFile]:
    """Those of the URLs that exist, from one listing per folder."""
    folders: dict[str, dict[str, dict]] = {}
    found = {}
    for url in urls:
        fs, path = filesystem(url)
        folder = fs._parent(path)
        if folder not in folders:
            folders[folder] = _listing(fs, folder)
        if (info := folders[folder].get(path)) is not None:
            found[url] = SourceFile(url, version_of(info) if {"ETag", "mtime"} & info.keys() else fingerprint(url))
    return found


def _listing(fs: AbstractFileSystem, folder: str) -> dict[str, dict]:
    fs.invalidate_cache()
    try:
        return {info["name"]: info for info in fs.ls(folder, detail=True) if info["type"] == "file"}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ForcingError(
            f"{fs.unstrip_protocol(folder)}: cannot be listed ({error}); allow reading this folder"
        ) from error
