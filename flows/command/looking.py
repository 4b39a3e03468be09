"""`somo check` and `somo inspect`: a declaration and files looked at before anything is run."""

from typing import Annotated

import typer

from flows.command.options import Debug, ProductFile, Quiet
from flows.console import output
from flows.environment import load_product, read_providers
from somo.product.declaration import ProductError


def check(product: ProductFile, quiet: Quiet = False, debug: Debug = False) -> None:
    """Go through a whole declaration without computing: files, days, units, grids, bytes to read, every problem.

    Metadata of all files are read and a few samples of their values. The exit status is 1 where there is a problem.

    Example: `somo check europe.toml`
    """
    from flows.stages.check import check as findings_of

    problems = 0
    for finding in findings_of(load_product(product)):
        output.print(f"{'PROBLEM' if finding.problem else 'ok':8}{finding.what}")
        for fact in finding.facts:
            output.print(f"{'':10}{fact}")
        if finding.problem:
            problems += 1
            output.print(f"{'':10}{finding.problem}")
    if problems:
        tables = "1 table" if problems == 1 else f"{problems} tables"
        raise ProductError(f"{product}: problems in {tables}, listed above; correct them and check again")


def inspect(
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Files, Zarr stores, or patterns with *.")],
    variable: Annotated[str, typer.Option(help="Only this variable.")] = "",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say what files hold (format, variables, axes, grid, times, chunks, size) and print the table to paste.

    Example: `somo inspect s3://bucket/era5-land/tp_2016_*.nc`
    """
    from somo.forcing.inspection import inspect_url

    providers = read_providers()
    for url in urls:
        for line in inspect_url(url, variable, providers):
            output.print(line)
