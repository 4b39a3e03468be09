"""`somo init`: a first declaration, from a place, a period and the folders where files lie."""

import datetime as dt
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.command.options import Debug
from flows.console import output
from somo.product.declaration import ProductError

# Looking into files imports the libraries of all their formats, which the help does not need.
if TYPE_CHECKING:
    from flows.command.drafting import Draft
    from somo.forcing.drafting.cells import Box

# Around a place: some hundred kilometres, within which stations usually lie that tell of it.
PLACE_MARGIN_DEG = 1.0
DAY_FORMATS = ["%Y-%m-%d"]
Places = list[str]


def init(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT.toml", help="The declaration to write.")],
    forcing: Annotated[
        Places | None, typer.Option(help="Folder, file, pattern or URL of forcing; may be repeated.")
    ] = None,
    static: Annotated[Places | None, typer.Option(help="The same of static features.")] = None,
    reference: Annotated[Places | None, typer.Option(help="The same of ERA5-Land's soil moisture.")] = None,
    insitu: Annotated[Places | None, typer.Option(help="Archive of in-situ measurements; may be repeated.")] = None,
    place: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LAT LON", help="A place, for a box of a degree around it.")
    ] = None,
    bbox: Annotated[
        tuple[float, float, float, float] | None, typer.Option(metavar="WEST SOUTH EAST NORTH", help="A box, degrees.")
    ] = None,
    step: Annotated[
        float | None, typer.Option(help="Width of a cell, degrees; default: as the forcing's first variable has it.")
    ] = None,
    start: Annotated[dt.datetime | None, typer.Option(formats=DAY_FORMATS, help="First day.")] = None,
    end: Annotated[dt.datetime | None, typer.Option(formats=DAY_FORMATS, help="Last day.")] = None,
    name: Annotated[str, typer.Option(help="Name of the product; default: that of the file.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a declaration that is there.")] = False,
    debug: Debug = False,
) -> None:
    """Look into folders of files and write a declaration of what is there; what is not given is asked for.

    Providers' files are recognised and taken by `like`; what a file does not say is a comment or a guess that says so.
    `somo check` then passes, or says what is left to write.

    Example: `somo init my.toml --forcing /data/era5-land --insitu /data/ismn.zip --bbox 9 50 13 52`
    """
    from flows.command.drafting import Wishes, draft

    if product.exists() and not force:
        raise ProductError(f"{product}: is there already; choose another name, or write over it with --force")
    if place and bbox:
        raise ProductError("--place and --bbox: give one of them")
    # Whoever names the forcing writes a script or knows the options; nobody is asked for more than is needed then.
    asks = not forcing
    box = _around(place) if place else bbox
    wishes = Wishes(
        name=name or product.stem,
        forcing=absolute(forcing or _asked_places("Folders, files or URLs of forcing", required=True)),
        static=absolute(static or _further_places("Static features, such as soil and relief", asks)),
        reference=absolute(reference or _further_places("ERA5-Land's soil moisture, for scaling", asks)),
        archives=absolute(insitu or _asked_places("Archives of in-situ measurements", required=True)),
        box=_asked_box() if asks and box is None else box,
        step_deg=step,
        start=start.date() if start else _asked_day("First day") if asks else None,
        end=end.date() if end else _asked_day("Last day") if asks else None,
    )
    _write(product, draft(wishes))


def absolute(places: Places) -> Places:
    """Paths from the root of the file system, so that the declaration holds in every folder; URLs stay as they are."""
    # Path.resolve would follow links, and name a folder that people do not know by that name.
    return [place if "://" in place else os.path.abspath(Path(place).expanduser()) for place in places]  # noqa: PTH100


def _around(place: tuple[float, float]) -> "Box":
    """A box around a latitude and longitude."""
    lat, lon = place
    south, north = max(lat - PLACE_MARGIN_DEG, -90.0), min(lat + PLACE_MARGIN_DEG, 90.0)
    return lon - PLACE_MARGIN_DEG, south, lon + PLACE_MARGIN_DEG, north


def _asked_places(question: str, required: bool = False) -> list[str]:
    while True:
        # Split as a shell does, since paths with spaces are quoted by habit.
        answer = typer.prompt(question, default=None if required else "", show_default=False)
        places = shlex.split(answer)
        if places or not required:
            return places


def _further_places(question: str, asks: bool) -> list[str]:
    return _asked_places(f"{question} (none: press Enter)") if asks else []


def _asked_box() -> "Box | None":
    while True:
        answer = typer.prompt(
            "Where: LAT LON of a place, or WEST SOUTH EAST NORTH (all that the forcing covers: press Enter)",
            default="", show_default=False,
        )  # fmt: skip
        try:
            numbers = [float(number) for number in answer.replace(",", " ").split()]
        except ValueError:
            # One number is neither a place nor a box: the question is asked again.
            numbers = [0.0]
        if not numbers:
            return None
        if len(numbers) == 2:
            return _around((numbers[0], numbers[1]))
        if len(numbers) == 4:
            return numbers[0], numbers[1], numbers[2], numbers[3]
        typer.echo("give two numbers or four, as in 50.9 11.5 or 9 50 13 52")


def _asked_day(question: str) -> dt.date | None:
    while True:
        answer = typer.prompt(f"{question}, as 2016-01-31 (as the forcing allows: press Enter)", default="",
                              show_default=False)  # fmt: skip
        try:
            return dt.date.fromisoformat(answer) if answer else None
        except ValueError:
            typer.echo(f"{answer!r} is no day; write it as 2016-01-31")


def _write(path: Path, written: "Draft") -> None:
    """The declaration, the schema beside it by which editors check it, and tables of stations to complete."""
    from somo.product.keys.schema import schema
    from somo.storage.objects import exists, put

    path.write_text(written.text)
    beside = path.with_name("somo.schema.json")
    if not beside.exists():
        beside.write_text(f"{schema()}\n")
    output.print(f"written: {path}")
    for url, table in written.tables.items():
        if not exists(url):
            put(url, table.encode())
            output.print(f"written: {url}, the table of your stations (docs/stations.md)", soft_wrap=True)
    for remark in written.remarks:
        output.print(f"  {remark}", soft_wrap=True)
    output.print(f"next: somo check {path}")
