"""`somo sensors`: which sensors a product would learn from, and why not the others, before any forcing is there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from distributed import Client
from rich.markup import escape
from rich.table import Table

from flows.command.options import Debug, ProductFile, Quiet
from flows.console import console, output
from flows.environment import cache_folder, load_product
from flows.results import scaling_days
from somo.core.words import counted
from somo.insitu.errors import InsituError
from somo.insitu.rules import Series
from somo.insitu.targets import (
    DAILY_SCHEMA,
    daily_table,
    days_left_out,
    dropped_sensors,
    headings,
    layers_without_sensors,
    sensor_table,
    unknown_networks,
    unusable_archives,
)
from somo.product.declaration import Product
from somo.storage.objects import require_writable
from somo.storage.patience import StorageError

COLUMNS = (
    *("archive", "network", "station", "sensor", "latitude", "longitude", "depth_from_m", "depth_to_m"),
    *("layer", "valid_days", "kept", "reason"),
)
# Inflated bytes that one process reads sooner than a cluster starts.
ALONE_BYTES = 2**26
# Dropped sensors that a terminal shows by name; archives of networks drop thousands.
MOST_NAMED = 20


def sensors(
    product: ProductFile,
    output_file: Annotated[Path | None, typer.Option("-o", metavar="FILE", help="Table as .csv or .parquet.")] = None,
    daily: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Unscaled daily means of the sensors that are kept, as Parquet.")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="Map as .png, .svg or .pdf.")] = None,
    root: Annotated[
        str, typer.Option(help="Keep daily means here, where `somo run` finds them; default: this user's cache.")
    ] = "",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say which sensors are kept and dropped and why, from the archives and the grid alone.

    Without `-o` the table goes to standard output as CSV; on a terminal a summary by network and reason is shown, with
    the first dropped sensors by name. The exit status is 1 where no sensor can be learnt from.

    Example: `somo sensors demo/demo.toml -o sensors.csv --daily daily.parquet --map sensors.png`
    """
    for path in (output_file, daily, map_file):
        if path is not None and not path.parent.is_dir():
            raise StorageError(f"{path}: there is no folder {path.parent}; make it first")
    declared = load_product(product)
    series = read_series(declared, _folder(declared, root))
    table = sensor_table(series)[list(COLUMNS)]
    warn(declared, series, table)
    if daily is not None:
        write_daily(series, daily)
    if map_file is not None:
        from flows.command.sensor_map import write_map

        write_map(declared, table, map_file)
    _write(table, output_file)
    if not _to_learn_from(declared, table)["kept"].any():
        raise InsituError(f"{product}: no sensor can be learnt from; what to check is said above")


def _to_learn_from(product: Product, table: pd.DataFrame) -> pd.DataFrame:
    """Sensors of the archives that are learnt from."""
    return table[table["archive"].isin([a.name for a in product.insitu if a.role == "training"])]


def warn(product: Product, series: Sequence[Series], table: pd.DataFrame) -> None:
    """Say which archives, layers and days nothing is learnt from."""
    from flows.stages.targets import first_and_last

    unusable = unusable_archives(table, {a.name: a.url for a in product.insitu})
    layers = layers_without_sensors(_to_learn_from(product, table), product.layers)
    names = {a.name for a in product.insitu if a.role == "training"}
    days = days_left_out([s for s in series if s.archive in names], *first_and_last(scaling_days(product)))
    for warning in [*unusable, *unknown_networks(table, product.insitu), *layers, *days]:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)


def _write(table: pd.DataFrame, path: Path | None) -> None:
    if path is not None and path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path is not None:
        table.to_csv(path, index=False)
    elif not output.is_terminal:
        typer.echo(table.to_csv(index=False), nl=False)
    if path is not None or output.is_terminal:
        output.print(summary(table))
        for line in dropped_sensors(table, MOST_NAMED):
            output.print(printable(f"dropped: {line}"), markup=False)
        place = path or "a CSV file with -o FILE"
        output.print(f"all {counted(len(table), 'sensor')} and their reasons: {place}", markup=False)


def _folder(product: Product, root: str) -> str:
    """Where daily means are kept: below the root that is given or declared, else in the user's cache."""
    if root:
        require_writable(root)
        return root
    if product.root:
        try:
            require_writable(product.root)
        except (OSError, ValueError) as error:
            console.print(
                f"{product.root} cannot be written ({error}); daily means are kept in the cache", markup=False
            )
        else:
            return product.root
    return str(cache_folder() / product.name)


def read_series(product: Product, folder: str) -> list[Series]:
    """Unscaled series of every sensor of every archive, on the declared grid.

    Parameters
    ----------
    folder : URL below which daily means are kept
    """
    from flows.results import daily_folder
    from flows.stages.archives import plan_reading, read_archive
    from flows.stages.targets import declared_places, to_series

    if any(grid.kind != "regular" for grid in product.grids().values()):
        console.print("grid kind = forcing: without the forcing its cells are unknown, so no place is outside")
    readings = [plan_reading(a, product.layers, daily_folder(folder, a)) for a in product.insitu]
    with _client(product, folder, sum(r.bytes for r in readings)) as client:
        daily = [(reading.archive, read_archive(reading, client)) for reading in readings]
    places = declared_places(product)
    roles = [[pair for pair in daily if pair[0].role == role] for role in ("training", "independent")]
    return [series for pairs in roles for series in to_series(product, pairs, places)]


@contextmanager
def _client(product: Product, folder: str, size: int) -> Iterator[Client | None]:
    """The product's cluster where there is much to read; this machine's where only it sees the folder."""
    from flows.cluster.connecting import cluster

    if size <= ALONE_BYTES:
        yield None
        return
    console.print(f"starting workers to read {size / 1e6:.0f} MB of measurements")
    shared = "://" in folder or product.cluster.kind == "local"
    with cluster(product if shared else product.model_copy(update={"cluster": {"kind": "local"}})) as client:
        yield client


def write_daily(series: Sequence[Series], path: Path) -> None:
    """Write the daily means of the series that are kept in long form, a sensor at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, DAILY_SCHEMA, compression="zstd") as writer:
        for s in series:
            if not s.reason:
                writer.write_table(daily_table(s))


def summary(table: pd.DataFrame) -> Table:
    """Sensors by archive, network and reason."""
    shown = Table("archive", "network", "sensors", "kept", "dropped", title=counted(len(table), "sensor"))
    heading = headings(table)
    for (archive, network), in_network in table.assign(heading=heading).groupby(["archive", "network"], sort=True):
        reasons = in_network.loc[~in_network["kept"], "heading"].value_counts()
        dropped = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        # Names come from files of strangers: they are text and no markup of the terminal.
        names = (escape(printable(str(name))) for name in (archive, network))
        shown.add_row(*names, str(len(in_network)), str(int(in_network["kept"].sum())), escape(printable(dropped)))
    return shown


def printable(text: str) -> str:
    """A text without what would steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
