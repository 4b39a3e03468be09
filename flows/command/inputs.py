"""`somo inputs`: what the network would see in the cell that holds a place."""

import datetime as dt
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from flows.command.options import Debug, ProductFile, Quiet
from flows.environment import load_product
from somo.product.declaration import ProductError


def inputs(
    product: ProductFile,
    lat: Annotated[float, typer.Argument(help="Degrees north.")],
    lon: Annotated[float, typer.Argument(help="Degrees east.")],
    start: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    end: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day.")] = None,
    domain: Annotated[str, typer.Option(help="Domain of the declaration; default: the predicted one.")] = "home",
    static: Annotated[bool, typer.Option("--static", help="Static features instead: feature,value.")] = False,
    output: Annotated[Path | None, typer.Option("-o", help="CSV file; default: standard output.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Print as CSV what the network would see in the cell that holds a place; needs no root and no archive.

    Daily forcing has the column `time` and one a declared variable, in SoMo's units. The days are those that the
    product needs, its spin-up included, unless --start or --end say otherwise.

    Example: `somo inputs europe.toml 50.95 11.55 --start 2016-01-01 --end 2016-12-31 -o jena.csv`
    """
    from flows.stages.place import daily_table, static_table

    declared = load_product(product)
    if domain not in declared.grids():
        raise ProductError(f"--domain {domain}: not declared; {product} has {', '.join(declared.grids())}")
    if output is not None and not output.parent.is_dir():
        raise ProductError(f"{output}: there is no folder {output.parent}; make it first")
    days = start.date() if start else None, end.date() if end else None
    with tempfile.TemporaryDirectory(prefix="somo-inputs-") as root:
        if static:
            table = static_table(declared, domain, root, (lat, lon))
        else:
            table = daily_table(declared, domain, root, (lat, lon), days)
    text = table.to_csv(index=False)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text)
