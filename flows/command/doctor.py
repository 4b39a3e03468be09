"""`somo doctor`: whether this machine, its credentials and its cluster can take a product's journey."""

from typing import Annotated

import typer

from flows.command.options import Debug, ProductFile, Root
from flows.console import output
from flows.environment import load_product, root_of


def doctor(
    product: ProductFile,
    root: Root = "",
    stack: Annotated[bool, typer.Option("--stack", help="Also what `somo stack` needs: programs, free ports.")] = False,
    debug: Debug = False,
) -> None:
    """Try everything a run needs: versions, credentials, a put and a read, scheduler, GPU, clock, free disk, ports.

    Every line says what was tried and what to do where it failed; the exit status is 1 if something did.

    Example: `somo doctor europe.toml --root s3://bucket/prefix`
    """
    from flows.service.checkup.doctor import examine

    declared = load_product(product)
    failed = 0
    for finding in examine(declared, root_of(declared, root), stack):
        failed += not finding.good
        output.print(f"{'ok' if finding.good else 'PROBLEM':8}{finding.what}: {finding.told}")
    if failed:
        raise typer.Exit(1)
