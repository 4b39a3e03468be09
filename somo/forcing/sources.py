"""Which forcing files exist: (domain, variable, days) -> URLs with size and version."""

import datetime as dt
from dataclasses import replace

from somo.forcing.listing import ForcingError, SourceFile, find_urls
from somo.product.declaration import Product
from somo.product.inputs import Files, Source
from somo.product.patterns import Pattern

__all__ = ["ForcingError", "SourceFile", "declares", "find_files", "needed_days"]

ONE_DAY = dt.timedelta(days=1)


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


def product_files(
    product: Product, domain: str, first: dt.date, last: dt.date | None, today: dt.date
) -> dict[str, tuple[SourceFile, ...]]:
    """Files of every source that cover the days `first`..`last`, by source; see `find_files`.

    A source that another one continues reaches as far as its files do, and the other begins where its own files begin.
    A continuing source without any file, such as a forecast that has not been published yet, is left out.
    """
    files = {}
    product = product.in_domain(domain)
    for name, source in product.sources.items():
        variable, continues, _ = name.partition(".then.")
        is_continued = f"{variable}.then.1" in product.sources
        until = None if is_continued else last
        listed = find_files(name, source, domain, first, until, last or today, begins_later=bool(continues))
        if listed:
            files[name] = listed
    return files


def find_files(
    name: str,
    source: Source,
    domain: str,
    first: dt.date,
    last: dt.date | None,
    today: dt.date,
    begins_later: bool = False,
) -> tuple[SourceFile, ...]:
    """Files of one variable that cover the days `first`..`last`, pattern after pattern, by day.

    Parameters
    ----------
    name : name of the variable, for messages
    first, last : days needed; without `last` every consecutive file up to `today` counts
    begins_later : whether files before the first existing one may be missing, or all files

    Raises
    ------
    ForcingError
        naming the first file that is missing and what to do
    """
    days = [first + n * ONE_DAY for n in range(((last or today) - first).days + 1)]
    around = [days[-1] + ONE_DAY] if last is not None and _reaches_after(source) else []
    around += [days[0] - ONE_DAY] if source.day_offset_hours < 0 else []
    names = {pattern: {day: pattern.on(day, domain) for day in [*days, *around]} for pattern in source.patterns}
    existing = find_urls((url for of_day in names.values() for url in of_day.values()), source.variable)
    missing = [day for day in days if not any(of_day[day] in existing for of_day in names.values())]
    present = set(days) - set(missing)
    if present:
        begin = min(present) if begins_later else first
        end = max(present) if last is None or begins_later else last
        # days missing between others are judged with those that files lack, where gaps may be filled
        missing = [day for day in missing if begin <= day <= end and (source.gaps is None or day < min(present))]
    if missing and (present or not begins_later):
        _refuse_missing(name, domain, [pattern.on(day, domain) for day in missing for pattern in names], first, last)
    files: dict[str, SourceFile] = {}
    for pattern, of_day in names.items():
        for url in dict.fromkeys(of_day.values()):
            for file in existing.get(url, []):
                files.setdefault(file.url, _dated(file, pattern, domain))
    return tuple(files.values())


def _refuse_missing(name: str, domain: str, urls: list[str], first: dt.date, last: dt.date | None) -> None:
    urls = list(dict.fromkeys(urls))
    more = f" (and {len(urls) - 1} more)" if len(urls) > 1 else ""
    raise ForcingError(
        f"{urls[0]}: no such file{more}; forcing.{name} of domain {domain!r} needs the days {first} to "
        f"{last or 'the last available'} (spin-up included): provide the file, correct forcing.{name}.url, or "
        "change period or sequence.lookback"
    )


def _dated(file: SourceFile, pattern: Pattern, domain: str) -> SourceFile:
    """The file with the day that its name stands for."""
    day = pattern.day_of(file.url, domain)
    return replace(file, day=day.isoformat()) if day else file


def _reaches_after(source: Source) -> bool:
    """Whether a day may be completed by the next one's file: by what is stamped 00 UTC there, or as days end later."""
    # Without a declared stamp the files' own bounds decide, which nobody has read yet: means that are stamped with the
    # end of their hour lack the last hour of a month in that month's file. Sums are complete at their stamp.
    may_end_at_00 = source.kind == "accumulated" or (source.kind != "instantaneous" and source.stamp is None)
    return (source.frequency == "sub-daily" and may_end_at_00) or source.stamp == "end" or source.day_offset_hours > 0


def declares(source: Files, domain: str, url: str) -> bool:
    """Whether a URL is one that the source declares for a domain."""
    return any(pattern.matches(url, domain) for pattern in source.patterns)
