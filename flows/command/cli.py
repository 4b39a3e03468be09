"""The `somo` command: one journey from source files to a published product, and what is needed around it."""

import ast
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from flows.console import verbosity
from flows.many_objects import collect_less

# A longitude such as -8.4 begins like an option.
NEGATIVE_NUMBERS = {"ignore_unknown_options": True}
COMMANDS: dict[str, str] = {
    **dict.fromkeys(("run", "status", "schema", "demo"), "making"),
    **dict.fromkeys(("validate", "release", "verify", "stack", "access", "credentials"), "published"),
    **{"sensors": "sensors", "doctor": "doctor", "check": "looking", "inspect": "looking"},
    **{"point": "published", "inputs": "inputs", "init": "init", "model": "models"},
}
"""Module of this folder that has the command, by the command's name and in the order of the help."""


class CommandsOnDemand(TyperGroup):
    """The commands of `COMMANDS`, each imported when it is called.

    Together they import every library of the project, which takes several seconds of processor time. The help needs
    their summaries alone, and these stand in the source.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # By these names typer tells what a mistyped command was meant to be.
        self.commands.update({name: TyperCommand(name) for name in COMMANDS})

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        """A command's name and what it does, without its arguments."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=_summary(cmd_name), rich_markup_mode="markdown")

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that is called, with its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _imported(str(name)), rest


def _summary(name: str) -> str:
    """What a command does, as its function or module says, read without importing either."""
    module = ast.parse((Path(__file__).parent / f"{COMMANDS[name]}.py").read_text())
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    return ast.get_docstring(functions.get(name, module)) or ""


def _imported(name: str) -> Any:
    """A command or group of commands as typer makes it."""
    module = import_module(f"flows.command.{COMMANDS[name]}")
    if hasattr(module, "app"):
        group = typer.main.get_command(module.app)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    alone.command(name, context_settings=NEGATIVE_NUMBERS if name in ("point", "inputs") else None)(
        getattr(module, name)
    )
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=CommandsOnDemand,
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


@app.callback()
def somo() -> None:
    """Everything that the commands share is said in the help of `app`."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; an error is one paragraph on standard error and exit status 1."""
    collect_less()
    try:
        app(arguments)
    except KeyboardInterrupt:
        # What shells give for Ctrl+C: 128 and the number of SIGINT.
        sys.exit(130)
    except Exception as error:
        if verbosity.traceback:
            raise
        # Only a failure needs the libraries whose errors it tells apart.
        from flows.failures import in_one_sentence

        typer.echo(f"error: {in_one_sentence(error)}", err=True)
        sys.exit(1)
