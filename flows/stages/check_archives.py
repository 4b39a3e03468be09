"""Archives of stations in a declaration that is only checked: what is there, and what would become of its sensors."""

from collections.abc import Mapping

import numpy as np

from flows.stages.targets import declared_places, to_series
from somo.core.grid import Grid
from somo.core.words import counted
from somo.insitu.daily import DailySensor, read_daily, to_daily
from somo.insitu.reading import in_stored_order
from somo.insitu.rules import NO_GOOD, Place, is_mistake
from somo.insitu.sensor import Recording, Sensor
from somo.insitu.sources.readers import READERS
from somo.insitu.targets import dropped_sensors, sensor_table
from somo.product.declaration import Product
from somo.product.inputs import Insitu
from somo.storage.objects import exists

# A check answers within seconds: more than this is read by `somo sensors`, which keeps what it has read.
MOST_BYTES = 2**25
MOST_NAMED = 20


def check_archive(product: Product, insitu: Insitu, grids: Mapping[str, Grid], facts: list[str]) -> None:
    """List the sensors of an archive; a table of own stations is read with its files, as `somo sensors` reads them.

    Parameters
    ----------
    grids : of the domains whose forcing could be read, by name
    facts : sentences are added to it

    Raises
    ------
    ValueError
        where the archive is missing or of another kind, a row of a table or its file is wrong, or no sensor of it would
        be used
    """
    if not exists(insitu.url):
        raise ValueError(f"{insitu.url}: no such file or folder; provide it, or correct its url")
    recordings = READERS[insitu.format].list_recordings(insitu.url, insitu.name)
    if insitu.format != "table":
        facts.append(f"{counted(len(recordings), 'sensor')} by the names of files in {insitu.url}")
        return
    are_read = sum(recording.bytes for recording in recordings) <= MOST_BYTES
    series = to_series(product, [(insitu, _sensors(recordings, are_read))], _places(product, grids))
    if not are_read:
        # Without their values sensors are judged by place and depth alone.
        series = [s for s in series if s.reason != NO_GOOD]
    sensors = sensor_table(series)
    in_use = int(sensors["kept"].sum())
    facts.append(f"{counted(len(recordings), 'sensor')} in the table {insitu.url}")
    facts.append(f"{in_use} would be used" if are_read else "too large to be read here: `somo sensors` reads it")
    facts += [f"dropped: {line}" for line in dropped_sensors(sensors, MOST_NAMED)]
    # Somebody writes this table by hand, and a row that says too little costs its sensor without an error.
    if mistaken := [s for s in series if is_mistake(s.reason)]:
        first = mistaken[0]
        more = f" (and {counted(len(mistaken) - 1, 'more row')})" if len(mistaken) > 1 else ""
        raise ValueError(
            f"{insitu.url}: {first.station}, {first.sensor or 'no value'}: {first.reason}{more}; complete these rows, "
            "or take them out"
        )
    if are_read and not in_use:
        raise ValueError(f"{insitu.url}: none of its sensors would be used, for the reasons above")


def _sensors(recordings: list[Recording], are_read: bool) -> list[DailySensor]:
    """Daily means of every recording, none of those that are not read."""
    readable = in_stored_order(r for r in recordings if are_read and not r.problem)
    daily = {sensor.key: sensor for sensor in read_daily(READERS["table"], readable)}
    return [daily.get(r.key) or to_daily(Sensor.unread(r, r.problem), r.key) for r in recordings]


def _places(product: Product, grids: Mapping[str, Grid]) -> dict[str, Place]:
    """Every domain's cells: those at the forcing's own coordinates where it could be read, else the declared ones."""
    land_everywhere = {domain: Place(grid, np.ones(grid.shape, bool)) for domain, grid in grids.items()}
    return declared_places(product) | land_everywhere
