"""Every code block of README and docs runs as it stands there, but for addresses, places and years."""

import re
import shlex
import tomllib
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

import somo
from flows.command import cli
from flows.environment import read_providers
from flows.service.loopback import served
from flows.stages.publish import write_netcdf, write_series
from somo.product.cluster import CLUSTER_KINDS
from somo.product.declaration import Product
from somo.product.network import DEFAULT_KIND, NETWORK_KINDS
from somo.product.providers import take_likes
from somo.publish import manifest
from somo.publish.catalog import catalog_document, version_documents
from somo.storage.objects import join, put
from tests.docs.blocks import ROOM, blocks
from tests.publish import made

BLOCKS = list(blocks())
TO_RUN = [block for block in BLOCKS if not block.mark]
READERS = "docs/reading.md"
NO_CODE = {"", "text", "{toctree}", "mermaid"}


def of(language):
    return [pytest.param(block, id=str(block)) for block in TO_RUN if block.language == language]


@pytest.fixture(scope="module")
def published(client, tmp_path_factory):
    """A released version with the names, the place and the years of the recipes, in a folder and on loopback."""
    root = str(tmp_path_factory.mktemp("readers") / "bucket")
    grid = {"kind": "regular", "west": 11.2, "east": 12.0, "south": 50.7, "north": 51.3, "step_deg": 0.1}
    declared = made.product(name="SoMo.ml-EU", grid=grid)
    version_url = made.write_store(declared, root)
    write_series(declared, version_url, client)
    write_netcdf(declared, version_url, client)
    entries = manifest.describe(version_url, manifest.list_objects(version_url))
    for name, document in version_documents(declared, somo.open(root, "1.0.0"), entries).items():
        put(join(version_url, name), manifest.encode(document))
    digest = manifest.write_manifest(version_url, manifest.describe(version_url, manifest.list_objects(version_url)))
    catalog = manifest.encode(catalog_document(declared, ["1.0.0"]))
    put(join(root, "catalog.json"), catalog)
    put(join(root, "latest.json"), manifest.pointer("1.0.0", {"v1.0.0": digest}, {"1.0.0": "2026-11-22"}, catalog))
    with served(Path(root)) as address:
        yield root, address


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """An empty folder to run in, and plots that no screen shows."""
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_somo(line):
    """A line that begins with `somo`, in this process; it must end well."""
    words = shlex.split(line, comments=True)
    assert words[0] == "somo", f"{line!r} is no somo command: mark its block with why it is not run"
    with pytest.raises(SystemExit) as ended:
        cli.main(words[1:])
    assert not ended.value.code, line


def lines_of(block):
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def test_every_block_runs_or_says_why_not():
    """What is not run is listed, each with its reason; a test that is named exists."""
    for block in BLOCKS:
        if block.mark == "run by":
            (named,) = re.findall(r"^tests/\S+\.py", block.reason)
            assert (ROOM / named).is_file(), f"{block} names {named}, which is not there"
    unknown = {block.language for block in TO_RUN} - NO_CODE - {"sh", "python", "toml"}
    assert not unknown, f"nothing here runs {unknown}; mark such blocks"
    print("\n".join(f"{b}: {b.mark}: {b.reason}" for b in BLOCKS if b.mark))


@pytest.mark.parametrize("block", of("python"))
def test_python(block, published, in_folder):
    root, address = published
    text = block.text.replace("https://host/bucket/prefix", address).replace("s3://bucket/prefix", root)
    # A reader has downloaded the files that a block opens by their names.
    text = text.replace('"SoMo.ml-EU_layer', f'"{root}/v1.0.0/netcdf/SoMo.ml-EU_layer')
    # Libraries warn of their own futures, which no reader mends.
    warnings.simplefilter("ignore")
    names = {}
    if "import xarray" not in text:
        exec("import xarray as xr", names)  # a page imports once, in the block above
    exec(compile(text, str(block), "exec"), names)
    if "missing" in names:
        assert names["missing"] == []
    if "july" in names:
        assert np.isfinite(names["july"]["soil_moisture"]).any() and (in_folder / "july.zarr").is_dir()


@pytest.mark.parametrize("block", [p for p in of("sh") if p.values[0].page == READERS])
def test_commands_of_readers(block, published, in_folder):
    for line in lines_of(block):
        run_somo(line.replace("ADDRESS", published[0]))


@pytest.mark.parametrize("block", [p for p in of("sh") if p.values[0].page != READERS])
def test_commands_of_makers(block, tiny_released, tiny_sources, in_folder, client, prefect_server, monkeypatch):
    """On a tiny product that is made and released: what runs finds its work done.

    Each `somo run` would otherwise start a Prefect server of its own with a password of its own, which Prefect's client
    of this process does not learn a second time.
    """
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)

    @contextmanager
    def cluster(product):
        yield client

    for module in ("flows.command.published", "flows.command.sensors", "flows.pipeline"):
        monkeypatch.setattr(f"{module}.cluster", cluster, raising=False)
    declaration, root = tiny_released
    soil = somo.open(root)["soil_moisture"].isel(time=0, depth=0)
    row, column = np.argwhere(np.isfinite(soil.values))[0]
    forcing = tiny_sources / "forcing/home"
    replaced = {
        "50.95 11.55": f"{float(soil['lat'][row])} {float(soil['lon'][column])}",
        "s3://bucket/era5-land/tp_2016_07.nc": f"{forcing}/tp_2004.nc",
        "/data/era5-land/t2m_2016.nc": f"{forcing}/t2m_2004.nc",
        "/data/era5-land": str(forcing),
        "/data/ismn.zip": f"{tiny_sources}/insitu/EUROPE.zip",
        "somo init my.toml": "somo init new.toml",
        "my.toml": str(declaration),
        "s3://bucket/prefix": root,
        "s3://bucket/product": root,
        "/data/product": root,
        "2016-": "2004-",
    }
    for line in lines_of(block):
        for old, new in replaced.items():
            line = line.replace(old, new)
        run_somo(line)


@pytest.mark.parametrize("block", of("toml"))
def test_tables(block):
    """Every table is one that a declaration takes."""
    declared = take_likes(tomllib.loads(block.text), read_providers())
    for key, table in declared.items():
        # Tables of clusters and networks have the keys of their own kind, which the declaration looks up in a register.
        if key == "cluster":
            model = CLUSTER_KINDS[table["kind"]]
        elif key == "network":
            model = NETWORK_KINDS[table.get("kind", DEFAULT_KIND)]
        else:
            model = Product.model_fields[key].annotation
        TypeAdapter(model).validate_python(table)
