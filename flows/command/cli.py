"""The `somo` command: one journey from source files to a published product, and what is needed around it."""

import json
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.command import doctor, looking, models, sensors
from flows.command import published as commands
from flows.command.init import init
from flows.command.inputs import inputs
from flows.command.options import Debug, ProductFile, Quiet, Root
from flows.console import Narrator, console, output, verbosity
from flows.environment import load_product, prepare_prefect, require_writable, root_of
from flows.failures import in_one_sentence
from flows.leftovers import end_with_this_process
from flows.status import STAGES, read_status, summary
from somo.product.declaration import Product, ProductError
from somo.publish import viewer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Daily soil moisture learnt from in-situ measurements: make, check and publish a product.

A product is declared in one TOML file (see `flows/products/`). `somo run` takes it through six stages:

`ingest` reference the forcing where it lies · `targets` turn sensors into daily targets · `train` fit the ensemble ·
`produce` predict every cell and day · `publish` write what readers download · `validate` judge it and write the report

Every stage keeps what an earlier run has finished, so running again resumes. Results go to `--root`, a folder or
`s3://bucket/prefix` (credentials from `AWS_*`).""",
)


AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


def _stage(value: str) -> str:
    if value not in STAGES:
        raise typer.BadParameter(f"{value!r} is no stage; allowed: {', '.join(STAGES)}")
    return value


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


for command in (
    commands.validate,
    commands.release,
    commands.verify,
    commands.stack,
    commands.access,
    commands.credentials,
    sensors.sensors,
    doctor.doctor,
    looking.check,
    looking.inspect,
):
    app.command()(command)
# A longitude such as -8.4 begins like an option.
app.command(context_settings={"ignore_unknown_options": True})(commands.point)
app.command(context_settings={"ignore_unknown_options": True})(inputs)
app.command()(init)
app.add_typer(models.app, name="model")


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
        # Prefect reads its settings when it is imported, and `prepare_prefect` has just made them.
        from flows.pipeline import run as flow

        flow(str(path), root, until)
    if until == STAGES[-1]:
        output.print(summary(product, root))


def main(arguments: list[str] | None = None) -> None:
    """Run the command; an error is one paragraph on standard error and exit status 1."""
    try:
        app(arguments)
    except KeyboardInterrupt:
        # What shells give for Ctrl+C: 128 and the number of SIGINT.
        sys.exit(130)
    except Exception as error:
        if verbosity.traceback:
            raise
        typer.echo(f"error: {in_one_sentence(error)}", err=True)
        sys.exit(1)
