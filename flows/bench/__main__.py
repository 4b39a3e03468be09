"""`make bench`: how fast forcing and stations are read, networks learn and predict, production scales, readers read."""

from collections.abc import Callable
from typing import Annotated

import typer

from flows.bench import forcing as bench_forcing
from flows.bench import learn as bench_learn
from flows.bench import produce as bench_produce
from flows.bench import read as bench_read
from flows.bench import scan as bench_scan
from flows.bench import statics as bench_statics
from flows.bench import stations as bench_stations
from flows.bench import status as bench_status
from flows.bench import update as bench_update

PARTS: dict[str, Callable[[], object]] = {
    "forcing": bench_forcing.main,
    "learn": bench_learn.main,
    "produce": bench_produce.main,
    "read": bench_read.main,
    "scan": bench_scan.main,
    "stations": bench_stations.main,
    "statics": bench_statics.main,
    "status": bench_status.main,
    "update": bench_update.main,
}


def main(
    parts: Annotated[
        list[str] | None, typer.Argument(help=f"Which parts: {', '.join(PARTS)}; all of them if none.")
    ] = None,
) -> None:
    """Measure on this machine, print tables of ratios and write them as JSON under `bench/`."""
    for name in parts or PARTS:
        if name not in PARTS:
            raise typer.BadParameter(f"{name!r} is no part of the benchmark; choose of {', '.join(PARTS)}")
        PARTS[name]()


if __name__ == "__main__":
    typer.run(main)
