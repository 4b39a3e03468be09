"""Recipes for readers of README and docs, run as they stand there but for the bucket's address."""

import ast
import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.request import urlretrieve
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

import somo
from flows.service.access import open_bucket
from flows.stages.countries import write_regions
from flows.stages.publish import write_catalog, write_images, write_netcdf, write_series
from flows.stages.release import open_front_door
from somo.publish.catalog import catalog_document
from somo.publish.manifest import encode, pointer
from somo.storage.objects import join, put, read_bytes
from tests.browser import chromium, needs_chromium
from tests.docs.blocks import blocks
from tests.publish import made

ROOM = Path(__file__).parents[2]
MODULES = ROOM / "somo/publish/viewer/node_modules"
AXE = MODULES / "axe-core/axe.min.js"
pytestmark = pytest.mark.s3


def recipes(language):
    """Blocks of one language that say that they are run here, the README's first."""
    mine = [block for block in blocks() if block.reason.startswith("tests/publish/test_recipes.py")]
    return [block.text for block in mine if block.language == language]


@pytest.fixture(scope="module")
def root(s3, client):
    """A version that has the names and places of the recipes."""
    root = f"s3://{s3.bucket}/{uuid4().hex[:8]}"
    grid = {"kind": "regular", "west": 11.2, "east": 12.0, "south": 50.7, "north": 51.3, "step_deg": 0.1}
    declared = made.product(name="SoMo.ml-EU", grid=grid)
    version_url = made.write_store(declared, root)
    write_series(declared, version_url, client)
    write_netcdf(declared, version_url, client)
    write_regions(declared, version_url, client)
    write_images(declared, version_url)
    released = {"1.0.0": "2026-11-22"}
    write_catalog(declared, version_url, client)
    put(join(root, "catalog.json"), encode(catalog_document(declared, ["1.0.0"])))
    put(join(root, "latest.json"), pointer("1.0.0", {}, released, b""))
    open_front_door(declared, root, "1.0.0", released)
    open_bucket(root)
    return root


@pytest.fixture(scope="module")
def door(root):
    """Recipes of the page at the root by their heading, with the address that the README's have."""
    page = html.unescape(read_bytes(join(root, "index.html")).decode())
    blocks = re.findall(r"<h3>([^<]+)</h3>.*?<pre>(.*?)</pre>", page, re.DOTALL)
    return {heading: block.replace("ADDRESS", "https://host/bucket/prefix") for heading, block in blocks}


@pytest.fixture(scope="module")
def at_the_door(root, door):
    """What the recipes of the front door should give: the series of the cell that they name."""
    lat, lon = map(float, re.search(r"somo point (\S+) (\S+)", door["Command line"]).groups())
    return somo.open(root).sel(lat=lat, lon=lon, method="nearest").isel(depth=0)["soil_moisture"].load()


@pytest.fixture(scope="module")
def expected(root):
    return somo.open(root).sel(lat=50.95, lon=11.55, method="nearest").isel(depth=0)["soil_moisture"].load()


@pytest.fixture
def cook(root, s3, tmp_path):
    """Run a recipe in an empty folder, as a stranger; gives what it wrote."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    known |= {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_REGION": "us-east-1", "MPLBACKEND": "agg", "PYTHONPATH": str(ROOM)}
    known["PATH"] = f"{Path(sys.executable).parent}:{known['PATH']}"

    def run(recipe, *command):
        text = recipe.replace("https://host/bucket/prefix", root.replace("s3://", f"{s3.endpoint}/"))
        done = subprocess.run(
            [*command, text.replace("s3://bucket/prefix", root)],
            cwd=tmp_path, env=known, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def shown(recipe):
    """Every dataset that a Python recipe opens without a name, over one line or several, as an argument of `show`."""
    tree = ast.parse(recipe)
    for statement in tree.body:
        if isinstance(statement, ast.Expr):
            statement.value = ast.Call(ast.Name("show", ast.Load()), [statement.value], [])
    return ast.unparse(ast.fix_missing_locations(tree))


def test_python_with_this_package(cook, expected):
    with_package, _ = recipes("python")
    plot = re.sub(r"^(ds\..*)$", r"(line,) = \1; print(list(map(float, line.get_ydata())))", with_package, flags=re.M)
    said = cook(plot, sys.executable, "-W", "ignore", "-c")
    np.testing.assert_array_equal(json.loads(said), expected.values.astype(float))


def test_python_without_this_package(cook, expected):
    _, without = recipes("python")
    place = "sel(depth=0.05, lat=50.95, lon=11.55, method='nearest')"
    reads = f"show = lambda ds: print(list(map(float, ds.soil_moisture.{place}.values)))\n{shown(without)}"
    said = cook(reads, sys.executable, "-W", "ignore", "-c").splitlines()
    assert len(said) == 2
    for line in said:
        np.testing.assert_allclose(json.loads(line), expected.values, rtol=1e-6)


def test_one_place_from_a_shell(cook, expected, tmp_path):
    point, _ = recipes("sh")
    cook(point, "bash", "-ec")
    table = pd.read_csv(tmp_path / "series.csv", index_col="time", parse_dates=True, comment="#")
    later = expected.sel(time=slice("2016-01-01", None))
    np.testing.assert_allclose(table["soil_moisture_0-10cm"], later, atol=5.1e-5)


@pytest.mark.skipif(not all(map(shutil.which, ("cdo", "ncdump"))), reason="apt-get install cdo netcdf-bin")
def test_yearly_files_from_a_shell(cook, expected):
    _, files = recipes("sh")
    said = cook(files, "bash", "-ec")
    assert "float layer1(time, lat, lon)" in said
    rows = re.findall(r"^\s*(\d{4}-\d\d-\d\d)\s+(\S+)\s*$", said, flags=re.M)
    year = expected.sel(time="2016")
    assert [day for day, _ in rows] == [str(day) for day in year["time"].values.astype("datetime64[D]")]
    np.testing.assert_allclose([float(value) for _, value in rows], year, atol=1e-6)


@pytest.mark.skipif(shutil.which("node") is None or not MODULES.is_dir(), reason="no Node.js packages; make viewer")
def test_javascript(cook, expected, tmp_path):
    (recipe,) = recipes("js")
    (tmp_path / "node_modules").symlink_to(MODULES)
    said = cook(f"{recipe}\nconsole.log(JSON.stringify(series))", "node", "--input-type=module", "-e")
    np.testing.assert_allclose(np.array(json.loads(said), float), expected.values, atol=1e-7)


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="no R; apt-get install r-cran-ncdf4")
def test_r(root, s3, tmp_path, cook, expected):
    """The half of the recipe that uses ncdf4; terra is not in Debian 12."""
    (recipe,) = recipes("r")
    (name,) = set(re.findall(r'"(SoMo\S+nc)"', recipe))
    urlretrieve(f"{root.replace('s3://', f'{s3.endpoint}/')}/v1.0.0/netcdf/{name}", tmp_path / name)
    with_ncdf4 = recipe[recipe.index("library(ncdf4)") :]
    said = cook(f"{with_ncdf4}\ncat(paste(days, sprintf('%.6f', series)), sep = '\\n')", "Rscript", "-e")
    rows = [line.split() for line in said.splitlines()]
    year = expected.sel(time="2016")
    assert [day for day, _ in rows] == [str(day) for day in year["time"].values.astype("datetime64[D]")]
    np.testing.assert_allclose([float(value) for _, value in rows], year, atol=1e-6)


def test_the_front_door_in_python(root, cook, door, at_the_door):
    """It plots the last map, and the series of a cell that has values."""
    drawn = "print(list(map(float, matplotlib.pyplot.gca().lines[-1].get_ydata())))"
    maps, series = re.split(r"(?=\nseries = )", door["Python"])
    said = cook(
        f"{maps}\nprint(float(maps.soil_moisture.isel(depth=0, time=-1).mean()))",
        sys.executable,
        "-W",
        "error::UserWarning",
        "-c",
    )
    last_map = somo.open(root)["soil_moisture"].isel(depth=0, time=-1)
    assert float(said) == pytest.approx(float(last_map.mean()), rel=1e-5)
    said = cook(f"import matplotlib.pyplot\nimport xarray as xr\n{series}\n{drawn}", sys.executable, "-c")
    np.testing.assert_allclose(json.loads(said), at_the_door.values, rtol=1e-6)
    assert np.isfinite(at_the_door.values).all()


def test_the_front_door_names_countries(root, cook, door):
    drawn = "import matplotlib.pyplot\nprint(name, list(map(float, matplotlib.pyplot.gca().lines[-1].get_ydata())))"
    name, _, values = cook(f"{door['Series of countries']}\n{drawn}", sys.executable, "-W", "ignore", "-c").partition(
        " "
    )
    assert name == "Germany"
    germany = somo.open(root).sel(lat=slice(51.3, 50.7))["soil_moisture"].isel(depth=0, time=-1)
    weights = np.cos(np.deg2rad(germany["lat"]))
    assert json.loads(values)[-1] == pytest.approx(float(germany.weighted(weights).mean()), abs=2e-4)


def test_the_front_door_walks_through_the_catalogue(cook, door):
    listed = cook(door["Catalogue"], sys.executable, "-W", "ignore", "-c").splitlines()
    assert [line.split()[0] for line in listed[:-1]] == ["2015", "2016", "2017", "latest"]
    assert all(address.startswith("http") for line in listed[:-1] for address in line.split()[1:])
    assert listed[-1].startswith("SoMo developers (2026): ")


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no GDAL; apt-get install gdal-bin")
def test_the_front_door_in_gdal(cook, door):
    said = cook(door["QGIS, GDAL"], "bash", "-ec")
    assert "Unit Type: m3 m-3" in said and "version=1.0.0" in said and "licence=CC-BY-4.0" in said
    assert "citation=SoMo developers (2026): " in said


def test_the_front_door_in_a_shell(cook, door, at_the_door, tmp_path):
    point, *files = door["Command line"].splitlines()
    cook(point, "bash", "-ec")
    table = pd.read_csv(tmp_path / "series.csv", index_col="time", parse_dates=True, comment="#")
    np.testing.assert_allclose(table["soil_moisture_0-10cm"], at_the_door, atol=5.1e-5)
    if shutil.which("cdo"):
        rows = re.findall(r"^\s*(\d{4}-\d\d-\d\d)\s+(\S+)\s*$", cook("\n".join(files), "bash", "-ec"), flags=re.M)
        last_year = at_the_door.sel(time=rows[0][0][:4])
        np.testing.assert_allclose([float(value) for _, value in rows], last_year, atol=1e-6)


@pytest.mark.skipif(shutil.which("node") is None or not MODULES.is_dir(), reason="no Node.js packages; make viewer")
def test_the_front_door_in_javascript(cook, door, at_the_door, tmp_path):
    (tmp_path / "node_modules").symlink_to(MODULES)
    said = cook(f"{door['JavaScript']}\nconsole.log(JSON.stringify(series))", "node", "--input-type=module", "-e")
    np.testing.assert_allclose(np.array(json.loads(said), float), at_the_door.values, atol=1e-7)


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="no R; apt-get install r-cran-ncdf4")
def test_the_front_door_in_r(cook, door, at_the_door):
    said = cook(f"{door['R']}\ncat(paste(days, sprintf('%.6f', series)), sep = '\\n')", "Rscript", "-e")
    rows = [line.split() for line in said.splitlines() if re.match(r"\d{4}-", line)]
    last_year = at_the_door.sel(time=rows[0][0][:4])
    assert [day for day, _ in rows] == [str(day) for day in last_year["time"].values.astype("datetime64[D]")]
    np.testing.assert_allclose([float(value) for _, value in rows], last_year, atol=1e-6)


@needs_chromium
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; make viewer")
def test_the_front_door_is_accessible_and_fits_a_phone(root, s3):
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(f"{root.replace('s3://', f'{s3.endpoint}/')}/index.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.add_script_tag(path=AXE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            violations = page.evaluate("axe.run()")["violations"]
            assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in violations] == []
