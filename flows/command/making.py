"""Commands that make a product: run it, say how far it is, the demo, and the schema that editors check it by."""

import json
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.command.options import Debug, ProductFile, Quiet, Root
from flows.console import Narrator, console, output
from flows.environment import load_product, prepare_prefect, root_of, server_is_named
from flows.leftovers import end_with_this_process
from flows.server_of_run import start_server
from flows.status import STAGES, read_status, summary
from somo.product.declaration import Product, ProductError
from somo.publish import viewer
from somo.publish.reader import latest
from somo.storage.objects import require_writable
from somo.storage.patience import StorageError

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


def _stage(value: str) -> str:
    if value not in STAGES:
        raise typer.BadParameter(f"{value!r} is no stage; allowed: {', '.join(STAGES)}")
    return value


def run(
    product: ProductFile,
    root: Root = "",
    until: Annotated[
        str, typer.Option(callback=_stage, help=f"Stop after this one of the stages {', '.join(STAGES)}.")
    ] = STAGES[-1],
    start: Annotated[
        str, typer.Option("--from", callback=_stage, help="Require the stages before this one to be done.")
    ] = STAGES[0],
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make a product, or what is still missing of it.

    Example: `somo run demo/demo.toml --root demo/bucket --until train`
    """
    declared = load_product(product)
    where = root_of(declared, root)
    make(product, declared, where, start, until)
    if until == STAGES[-1]:
        output.print(next_step(product, declared, where), markup=False)


def status(
    product: ProductFile, root: Root = "", as_json: AsJson = False, quiet: Quiet = False, debug: Debug = False
) -> None:
    """Say, per stage, what is done, what is missing and what is next; changes nothing."""

    declared = load_product(product)
    stages = read_status(declared, root_of(declared, root), Narrator())
    if as_json:
        typer.echo(json.dumps([stage.as_dict() for stage in stages], indent=1))
        return
    table = Table("stage", "state", "size", "detail", title=f"{declared.name} {declared.version}")
    for stage in stages:
        table.add_row(stage.name, stage.state, stage.size, stage.detail)
    output.print(table)


def schema(
    output: Annotated[Path | None, typer.Option("-o", help="File to write; default: standard output.")] = None,
) -> None:
    """Print the JSON schema of a declaration, by which editors complete and check its keys.

    Example: `somo schema -o somo.schema.json`, and `#:schema somo.schema.json` as the first line of the TOML
    """
    from somo.product.keys.schema import schema as text_of_schema

    text = text_of_schema()
    if output is None:
        typer.echo(text)
    else:
        output.write_text(f"{text}\n")


def demo(
    root: Annotated[Path, typer.Option(help="Folder for the invented Europe and everything made from it.")] = Path(
        "demo"
    ),
    s3: Annotated[bool, typer.Option("--s3", help="Keep the product in a real S3 server on loopback.")] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Serve its page on loopback until Ctrl-C.")] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make and release a product of a small invented Europe, from source files to report and page.

    Example: `somo demo --open`
    """
    from flows.service.demo import page_of, prepare, release_demo, storage

    path = prepare(root.resolve())
    product = load_product(path)
    with storage(root.resolve(), s3) as where:
        make(path, product, where, STAGES[0], STAGES[-1])
        release_demo(product, where)
        with page_of(where, open_page) as address:
            typer.echo(f"Page    {address}")
            if not viewer.is_built():
                console.print(viewer.LEFT_OUT)
            if open_page:
                typer.echo("served on this machine until Ctrl-C")
                threading.Event().wait()


def next_step(path: Path, product: Product, root: str) -> str:
    """What to do with a version that is complete: release it, or read it where it is released."""
    try:
        released = latest(root, anon=False)
    except StorageError:
        # Before the first release there is no pointer, and where one cannot be read, `somo release` says why.
        released = ""
    if released == product.version:
        return f'Read it with somo.open("{root}")'
    return (
        f"Next: `somo release {path} --root {root}` checks it and makes it the latest; until then readers get it with "
        f'somo.open("{root}", version="{product.version}")'
    )


def make(path: Path, product: Product, root: str, start: str, until: str) -> None:
    """Run what is missing of a product, then summarise it."""
    if STAGES.index(until) < STAGES.index(start):
        raise ProductError(f"--from {start} --until {until}: {until} comes before {start}; swap them")
    stages = read_status(product, root)
    unfinished = [stage.name for stage in stages[: STAGES.index(start)] if not stage.done]
    if unfinished:
        raise ProductError(f"--from {start}: not yet done in {root}: {', '.join(unfinished)}; run without --from")
    missing = [stage.name for stage in stages[: STAGES.index(until) + 1] if not stage.done]
    console.print(
        f"{product.name} {product.version} in {root}: {'to do: ' + ', '.join(missing) if missing else 'all done'}"
    )
    if missing:
        require_writable(root)
        end_with_this_process()
        prepare_prefect()
        wait_for_server = None if server_is_named() else start_server()
        console.print("starting Prefect, which takes up to a minute on a busy machine")
        # Prefect reads its settings when it is imported, and they have just been made.
        from flows.pipeline import run as flow

        if wait_for_server is not None:
            wait_for_server()
        flow(str(path), root, until)
    if until == STAGES[-1]:
        output.print(summary(product, root))
