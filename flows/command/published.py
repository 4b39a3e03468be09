"""Commands about a published version: judge it, release it, check its bytes, read one place."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from flows.cluster.connecting import cluster
from flows.command.options import Debug, ProductFile, Quiet, Root
from flows.console import console
from flows.environment import load_product, root_of
from flows.one_writer import one_writer
from flows.results import version_url
from somo.core.addresses import root_and_version
from somo.storage.patience import StorageError


def validate(
    product: ProductFile,
    root: Root = "",
    only: Annotated[str | None, typer.Option(help="Remake one section of the report, such as fig3.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Judge the published version and write its report.

    Example: `somo validate demo/demo.toml --root demo/bucket --only fig3`
    """
    from flows.stages.release import follow
    from flows.stages.validate import validate as judge

    declared = load_product(product)
    where = root_of(declared, root)
    with one_writer(declared, where, "validation"):
        with cluster(declared) as client:
            typer.echo(judge(declared, where, version_url(declared, where), client, only))
        follow(declared, where)


def release(
    product: ProductFile,
    root: Root = "",
    withdraw: Annotated[str | None, typer.Option(help="Take this released version back instead, as v1.0.1.")] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Release the product's version once every checksum and check holds; readers get the newest one as the latest.

    Example: `somo release demo/demo.toml --root demo/bucket`
    """
    from flows.stages.release import release as make_current
    from flows.stages.release import require_complete
    from flows.stages.release import withdraw as take_back
    from flows.stages.validate import require_judged

    declared = load_product(product)
    where = root_of(declared, root)
    if withdraw is not None:
        with one_writer(declared, where, "withdrawal"):
            current = take_back(declared, where, withdraw.removeprefix("v"))
        typer.echo(f"latest is now {current}" if current else "no version is released now")
        return
    version = version_url(declared, where)
    require_complete(version)
    require_judged(declared, version)
    with one_writer(declared, where, "release"), cluster(declared) as client:
        current = make_current(declared, where, client)
    typer.echo(f"released {declared.version}; latest is {current}")


def verify(
    url: Annotated[str, typer.Argument(help="Root of a bucket: s3://, https:// or a folder.")],
    anon: Annotated[bool, typer.Option(help="Read without credentials.")] = True,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Read every published object again and compare it with its checksum.

    Example: `somo verify s3://bucket/prefix`
    """
    from somo.publish.verifying import Damage
    from somo.publish.verifying import verify as compare

    total, damage = 0, list[Damage]()
    for done, total, damage in compare(url, anon):  # noqa: B007
        if console.is_terminal and (done % 100 == 0 or done == total):
            console.print(f"{done} of {total} objects", end="\r")
    if damage and not total:
        raise StorageError(f"{url}: {damage[0].key}: {damage[0].reason}")
    if damage:
        listed = "; ".join(f"{damaged.key}: {damaged.reason}" for damaged in damage[:5])
        raise StorageError(
            f"{url}: {len(damage)} of {total} objects are damaged: {listed}; `somo run` makes them again"
        )
    typer.echo(f"{total} objects are what was published")


def point(
    lat: Annotated[float, typer.Argument(min=-90, max=90, help="Degrees north.")],
    lon: Annotated[float, typer.Argument(min=-180, max=360, help="Degrees east.")],
    url: Annotated[str, typer.Option(help="Root of a bucket: s3://, https:// or a folder.")],
    start: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    end: Annotated[dt.datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day.")] = None,
    output: Annotated[Path | None, typer.Option("-o", help="CSV file; default: standard output.")] = None,
    version: Annotated[str, typer.Option(help="Version, or latest.")] = "latest",
    anon: Annotated[bool, typer.Option(help="Read without credentials.")] = True,
    debug: Debug = False,
) -> None:
    """Series of the cell that holds a place, as CSV: one row a UTC day, one column a field and layer.

    Lines above the table that begin with # say units, place, version, status, citation and licence.

    Example: `somo point 50.95 11.55 --url s3://bucket/prefix --start 2016-01-01 -o jena.csv`
    """
    import pandas as pd

    from somo.publish.point import series_csv
    from somo.publish.reader import cell_at, latest, open_version

    if start and end and end < start:
        raise StorageError(f"--end {end:%Y-%m-%d} comes before --start {start:%Y-%m-%d}; swap them")
    if output is not None and not output.parent.is_dir():
        raise StorageError(f"{output}: there is no folder {output.parent}; make it first")
    url, version = root_and_version(url, version)
    chosen_version = latest(url, anon) if version == "latest" else version
    row, column = cell_at(open_version(url, chosen_version, anon), lat, lon)
    ds = open_version(url, chosen_version, anon, "series").isel(lat=row, lon=column)
    chosen = ds.sel(time=slice(start, end))
    if not chosen.sizes["time"]:
        first, last = (f"{day:%Y-%m-%d}" for day in pd.DatetimeIndex(ds["time"].values[[0, -1]]))
        raise StorageError(f"{url}: no day between --start and --end; version {chosen_version} has {first} to {last}")
    text = series_csv(chosen, url, (lat, lon))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def access(
    root: Annotated[str, typer.Argument(help="Where the product is: s3://bucket/prefix.")], debug: Debug = False
) -> None:
    """Let anyone read what is published in a bucket, and nothing else.

    Example: `somo access s3://bucket/prefix`
    """
    from flows.service.access import open_bucket

    open_bucket(root)
    typer.echo(f"{root}: anyone may now read the versions, index.html, latest.json, catalog.json and viewer/")


def stack(
    folder: Annotated[Path, typer.Option(help="Data, logs, certificates and secrets of the services.")] = Path("stack"),
    product: Annotated[Path | None, typer.Option(help="TOML of the product to deploy; default: the demo.")] = None,
    root: Annotated[str, typer.Option(help="s3://bucket/prefix of its results.")] = "s3://somo/demo",
    debug: Debug = False,
) -> None:
    """Start the whole service as processes of this machine: S3, PostgreSQL, Prefect, Dask, Prometheus.

    Example: `somo stack --folder /data/stack`
    """
    from flows.service.demo import prepare
    from flows.service.stack import operated, serve

    serve(operated(folder, product or prepare(folder.resolve() / "demo"), root))


def credentials(
    folder: Annotated[Path, typer.Option(help="Where they are written; keep it from others.")] = Path("infra/secrets"),
    root: Annotated[str, typer.Option(help="s3://bucket/prefix that the service may write.")] = "s3://somo/product",
    debug: Debug = False,
) -> None:
    """Make certificates, S3 identities and passwords for the service in containers; what is there stays.

    Example: `somo credentials --folder infra/secrets --root s3://somo/product`
    """
    from flows.service.containers import PLACE
    from flows.service.credentials import write_credentials

    write_credentials(folder, PLACE, root)
    typer.echo(
        f"written to {folder}: secrets.env, and for each group of services its own files in dask, s3, prometheus"
    )
