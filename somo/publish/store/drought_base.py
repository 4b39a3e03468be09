"""Which years the climatology of drought is of."""

import datetime as dt
from collections.abc import Mapping

from somo.product.declaration import Product
from somo.product.inputs import Period


def base_period(product: Product, years: list[int], former: Mapping[str, object]) -> Period | None:
    """Period of the climatology: the declared one, else that of the published group, else the product's period.

    A product without an end has the years that are complete, and waits for the last year of a declared base.

    Parameters
    ----------
    years : years of which the version holds every day of the product, all of them final
    former : attributes of the group as published before

    Returns
    -------
    None where it has fewer years than are declared, too few to call anything unusual
    """
    declared = product.drought.base
    base = declared if declared is not None and declared.end is not None else _until_now(product, years, former)
    if base is None or base.end is None or base.whole_years < product.drought.min_years:
        return None
    # A climatology of the years until now would bear the name of all the declared ones, and change with each of them.
    is_held = product.period.end is not None or set(range(base.start.year, base.end.year + 1)) <= set(years)
    return base if is_held else None


def _until_now(product: Product, years: list[int], former: Mapping[str, object]) -> Period | None:
    """The climatology's period where no end of it is declared; None without a complete year."""
    declared = product.drought.base
    begin = product.period.start if declared is None else declared.start
    # What was chosen once stays: the years that are added would move every percentile.
    if "base_start" in former and (declared is None or former["base_start"] == str(begin)):
        return Period.model_validate({"start": former["base_start"], "end": former["base_end"]})
    if product.period.end is not None:
        return Period(start=begin, end=product.period.end)
    # The first year of a product that begins in its middle is as complete as it can be, and no year of a climatology.
    whole = [year for year in years if dt.date(year, 1, 1) >= begin]
    return Period(start=dt.date(whole[0], 1, 1), end=dt.date(whole[-1], 12, 31)) if whole else None
