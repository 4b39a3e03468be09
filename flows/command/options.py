"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from flows.console import console, verbosity


def _quiet(value: bool) -> bool:
    console.quiet = console.quiet or value
    return value


def _debug(value: bool) -> bool:
    verbosity.traceback = verbosity.traceback or value
    return value


ProductFile = Annotated[Path, typer.Argument(metavar="PRODUCT.toml", help="The product's declaration.")]
Root = Annotated[
    str, typer.Option(help="Where results go: a folder or s3://bucket/prefix. Default: the file's `root`.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", callback=_quiet, help="No progress bars.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_debug, help="Show the traceback of an error.")]
