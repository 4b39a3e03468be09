"""Which days the sources of a product cover, where some of them continue others."""

import datetime as dt
from collections.abc import Mapping

import numpy as np

from somo.forcing.days.plan import DayPlan
from somo.forcing.sources import ForcingError, needed_days
from somo.product.declaration import Product
from somo.product.inputs import Source

EPOCH = dt.date(1970, 1, 1)
Days = tuple[dt.date, dt.date | None]
Span = tuple[int, int]


def source_spans(product: Product, plans: Mapping[str, DayPlan]) -> dict[str, Span]:
    """First and last day since 1970-01-01 of each source; the last lies before the first of a source without any day.

    A source that continues another begins on the day after the other's last.

    Raises
    ------
    ForcingError
        naming the source that begins too late to continue the one before it
    """
    spans: dict[str, Span] = {}
    for name in product.forcing:
        end: int | None = None
        for key in (key for key in plans if key.split(".then.")[0] == name):
            first, last = plans[key].first_day, plans[key].stop_day - 1
            if end is not None:
                if first > end + 1:
                    raise ForcingError(
                        f"forcing.{key}: begins on {_day(first)}, but what it continues ends on {_day(end)}; provide "
                        f"{_days(end + 1, first - 1)} in files of either source (gaps fills days within one source, "
                        "not those between two)"
                    )
                # Where both have a day, the source that is continued gives it.
                first, last = end + 1, max(last, end)
            spans[key], end = (first, last), last
    return spans


def covered_days(product: Product, spans: Mapping[str, Span], days: Days | None = None) -> Span:
    """First and last day since 1970-01-01 that a product needs (or `days` asks for) and every variable has.

    Raises
    ------
    ForcingError
        naming the variable that begins too late or ends too early
    """
    first_date, last_date = days or needed_days(product)
    first, last = (first_date - EPOCH).days, None if last_date is None else (last_date - EPOCH).days
    ends = []
    for name, forcing in product.forcing.items():
        if forcing.source is None:
            continue
        chain = [span for key, span in spans.items() if key.split(".then.")[0] == name]
        has_first, has_last = chain[0][0], chain[-1][1]
        if has_first > first:
            raise ForcingError(_begins_late(name, product, has_first, first, days))
        if last is not None and has_last < last:
            raise ForcingError(
                f"forcing.{name}: the last whole day is {_day(has_last)}, but the product needs {_day(last)}; provide "
                f"later files or end the period earlier{_hint_00(name, (*forcing.then, forcing.source)[0])}"
            )
        ends.append(has_last)
    return first, min(ends) if last is None else last


def _begins_late(name: str, product: Product, has: int, needs: int, days: Days | None) -> str:
    if days is not None:
        return f"forcing.{name}: begins on {_day(has)}, but {_day(needs)} is asked for: provide earlier files"
    spinup = product.sequence.spinup_days
    return (
        f"forcing.{name}: begins on {_day(has)}, but the product needs it from {_day(needs)} (period.start "
        f"{product.period.start} less {spinup} days of spin-up): provide earlier files, start the period on "
        f"{_day(has + spinup)} or later, or shorten sequence.lookback"
    )


def _hint_00(name: str, source: Source) -> str:
    if source.frequency == "sub-daily" and source.kind == "accumulated":
        return " (an accumulation is complete with the value at 00 UTC of the next day)"
    # For the sake of other daily files, which are most, the one after the last day is not asked for.
    if source.frequency == "daily" and source.stamp is None and source.kind != "instantaneous":
        return (
            f' (where each day is stamped 00 UTC of the next one, write forcing.{name}.stamp = "end", with which the '
            "file after the last day is looked for)"
        )
    return ""


def _days(first: int, last: int) -> str:
    return str(_day(first)) if first == last else f"{_day(first)} to {_day(last)}"


def _day(number: int) -> np.datetime64:
    return np.datetime64(int(number), "D")
