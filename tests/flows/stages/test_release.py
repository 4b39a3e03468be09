"""A version becomes what readers get as the latest, or stays unknown to them: nothing in between."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import somo
from flows.command.cli import app
from flows.stages import publish, release
from flows.stages.validate import require_judged
from somo.forcing.dataset import Inputs
from somo.publish import manifest, verifying
from somo.publish.reader import latest
from somo.storage import lease
from somo.storage.objects import join, put
from somo.storage.patience import StorageError
from somo.validate.gate.checks import ValidationError
from tests.publish import made

ROOM = Path(__file__).parents[3]
VERSIONS = ("1.0.0", "1.1.0")
SEEDS = dict(zip(VERSIONS, (0, 5), strict=True))
DAYS = 91
LAX = {"max_skill_drop": 2.0}
"""Lets the later version pass, whose predictions are made up to be bad."""


def declared(version, **checks):
    return made.product("2016-01-01", "2016-03-31", version=version, checks=checks)


def tables(version):
    """Targets, sensors and out-of-fold predictions of four cells; those of the later version are noise."""
    generator = np.random.default_rng(0)
    times = pd.date_range("2016-01-01", periods=DAYS)
    parts = [
        pd.DataFrame({"domain": "home", "cell": cell, "layer": layer, "time": times, "y": generator.random(DAYS)})
        for cell in (20, 30, 40, 47)
        for layer in ("layer1", "layer2")
    ]
    crossval = pd.concat(parts, ignore_index=True)
    error = generator.normal(0, 0.01 if version == "1.0.0" else 1, len(crossval))
    crossval = crossval.assign(y_hat=crossval["y"] + error, y_ridge=0.3, fold=0)
    targets = crossval.rename(columns={"y": "value"})[["domain", "cell", "layer", "time", "value"]].assign(count=1)
    sensors = pd.DataFrame(
        [("net", "N", "S", "p", 45.3, 5.4, "layer1", "home", 20, True)],
        columns=["archive", "network", "station", "sensor", "latitude", "longitude", "layer", "domain", "cell", "kept"],
    )
    return {"crossval": crossval, "targets": targets, "sensors": sensors}


def publish_version(root, version, client):
    """What the stages leave behind: stores, tables, papers, catalog, and last the report."""
    product = declared(version)
    version_url = made.write_store(product, root, seed=SEEDS[version])
    publish.write_series(product, version_url, client)
    for name, table in tables(version).items():
        put(join(version_url, "validation", f"{name}.parquet"), table.to_parquet())
    inputs = {"home": Inputs({}, join(root, "static/a.nc"))}
    publish.write_papers(product, root, version_url, inputs, join(root, "targets/a.parquet"), join(root, "models/a"))
    publish.write_catalog(product, version_url, client)
    put(join(version_url, "report/index.html"), b"<p>report</p>")
    manifest.renew(version_url, "report")


@pytest.fixture(scope="module")
def made_once(client, tmp_path_factory):
    """A root with two complete versions, the former one released."""
    root = tmp_path_factory.mktemp("made") / "bucket"
    publish_version(str(root), "1.0.0", client)
    release.release(declared("1.0.0"), str(root), client)
    publish_version(str(root), "1.1.0", client)
    return root


@pytest.fixture
def root(made_once, tmp_path):
    return str(shutil.copytree(made_once, tmp_path / "bucket"))


def current(root):
    return json.loads(Path(root, "latest.json").read_bytes())


def damage(root):
    *_, (_, _, found) = verifying.verify(root)
    return [d.key for d in found]


def children(root):
    links = json.loads(Path(root, "catalog.json").read_bytes())["links"]
    return [link["href"] for link in links if link["rel"] == "child"]


def watch_puts(monkeypatch, before):
    """Call `before(url)` ahead of every object that a release writes."""

    def watched(url, data):
        before(url)
        put(url, data)

    monkeypatch.setattr(lease, "put_visible", watched)
    put_if_unchanged = release.put_version

    def pointed(url, data, former):
        before(url)
        put_if_unchanged(url, data, former)

    monkeypatch.setattr(release, "put_version", pointed)


def test_a_release_is_one_put_of_the_pointer(root, client, monkeypatch):
    puts = []
    watch_puts(monkeypatch, puts.append)
    release.release(declared("1.1.0", **LAX), root, client)
    assert puts.count(join(root, "latest.json")) == 1
    assert puts[-3:] == [join(root, name) for name in ("latest.json", "catalog.json", "index.html")]
    assert (current(root)["version"], list(current(root)["released"])) == ("1.1.0", ["1.0.0", "1.1.0"])
    assert children(root) == ["./v1.1.0/collection.json", "./v1.0.0/collection.json"]
    assert damage(root) == []


def test_releasing_again_changes_nothing(root, client):
    before = {p: p.read_bytes() for p in Path(root).rglob("*") if p.is_file()}
    release.release(declared("1.0.0"), root, client)
    assert {p: p.read_bytes() for p in Path(root).rglob("*") if p.is_file()} == before


def test_releasing_an_older_version_leaves_the_newest_current(root, client):
    assert release.release(declared("1.1.0", **LAX), root, client) == "1.1.0"
    assert release.release(declared("1.0.0", **LAX), root, client) == "1.1.0"
    assert current(root)["version"] == "1.1.0"


def test_failing_checks_are_all_named_and_nothing_is_released(root, client):
    before = current(root)
    with pytest.raises(ValidationError) as refused:
        release.release(declared("1.1.0", valid_max=0.2), root, client)
    told = str(refused.value)
    assert "2 of 8 checks failed" in told
    assert "- range: values" in told and "- skill: median r" in told
    assert current(root) == before


def test_every_damaged_object_is_named_and_nothing_is_released(root, client):
    version = Path(root, "v1.1.0")
    chunk = max((p for p in (version / "soil_moisture.zarr").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    broken = [chunk, version / "lineage.json", version / "validation/targets.parquet", version / "report/index.html"]
    for path in broken:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    before = current(root)
    with pytest.raises(release.ReleaseError) as refused:
        release.release(declared("1.1.0", **LAX), root, client)
    assert all(path.relative_to(version).as_posix() in str(refused.value) for path in broken)
    assert current(root) == before


def test_a_version_without_report_is_refused(root, client):
    Path(root, "v1.1.0/report/index.html").unlink()
    with pytest.raises(release.ReleaseError, match=r"report/index\.html is missing; run .* stage validate"):
        release.release(declared("1.1.0"), root, client)


def test_a_report_made_again_is_no_damage(root, client):
    put(join(root, "v1.0.0/report/index.html"), b"<p>a later report</p>")
    assert damage(root) == ["v1.0.0/report/index.html"]
    manifest.renew(join(root, "v1.0.0"), "report")
    release.release(declared("1.0.0"), root, client)
    assert damage(root) == []


def test_withdrawing_flips_the_pointer_back(root, client):
    release.release(declared("1.1.0", **LAX), root, client)
    assert release.withdraw(declared("1.1.0"), root, "1.1.0") == "1.0.0"
    assert somo.open(root).attrs["product_version"] == "1.0.0"
    assert children(root) == ["./v1.0.0/collection.json"]
    assert damage(root) == []
    assert Path(root, "v1.1.0/collection.json").exists()


def test_what_cannot_be_withdrawn_is_said(root):
    with pytest.raises(release.ReleaseError, match=r"1\.1\.0 was never released; released are 1\.0\.0"):
        release.withdraw(declared("1.1.0"), root, "1.1.0")


def test_a_bad_first_release_is_taken_back(root):
    (remaining,) = current(root)["released"]
    assert release.withdraw(declared("1.0.0"), root, remaining) == ""
    assert not any(Path(root, name).exists() for name in ("latest.json", "catalog.json", "index.html"))
    with pytest.raises(StorageError, match=r"make one the latest with `somo release`"):
        latest(root)
    assert Path(root, "v1.0.0/collection.json").exists()


class Stopped(BaseException):
    """The end of the process, as it looks from inside."""


def test_a_release_stopped_again_after_each_of_its_writes_goes_on(root, client, monkeypatch):
    written, stops = [], 0

    def one_more(url):
        if len(written) > stops:
            raise Stopped
        written.append(url)

    watch_puts(monkeypatch, one_more)
    while current(root)["version"] == "1.0.0":
        assert stops < 10
        assert join(root, "latest.json") not in written
        with pytest.raises(Stopped):
            release.release(declared("1.1.0", **LAX), root, client)
        stops += 1
    assert written[-1] == join(root, "latest.json")
    assert damage(root) == ["catalog.json"]
    stops += 1  # the catalog and the page at the root
    release.release(declared("1.1.0", **LAX), root, client)
    assert damage(root) == []


KILLED = """
import os, signal, sys
from distributed import Client
from flows.stages import release
from somo.product.declaration import Product

def killed(url, data, former):
    assert url.endswith("latest.json")
    print("at the pointer", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

release.put_version = killed
with Client(n_workers=1, processes=False, dashboard_address=None) as client:
    release.release(Product.model_validate_json(sys.argv[2]), sys.argv[1], client)
"""


@pytest.mark.fault
def test_a_release_killed_at_the_pointer_leaves_the_former_version_current(root, client):
    before = Path(root, "latest.json").read_bytes()
    command = [sys.executable, "-c", KILLED, root, declared("1.1.0", **LAX).model_dump_json()]
    ended = subprocess.run(command, cwd=ROOM, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.strip()) == (-signal.SIGKILL, "at the pointer"), ended.stderr
    assert Path(root, "latest.json").read_bytes() == before
    assert damage(root) == []
    assert somo.open(root).attrs["product_version"] == "1.0.0"
    release.release(declared("1.1.0", **LAX), root, client)
    assert somo.open(root).attrs["product_version"] == "1.1.0"
    assert damage(root) == []


GROWN = DAYS + 4


def grow(root, client):
    """What an update leaves behind when it has taken in four days, up to its last step."""
    product = made.product("2016-01-01", None)
    version_url = made.write_store(product, root, seed=SEEDS["1.0.0"], days=GROWN)
    publish.write_series(product, version_url, client)
    publish.write_catalog(product, version_url, client)
    return product


def test_a_released_version_that_grew_is_followed(root, client, monkeypatch):
    before = current(root)
    product = grow(root, client)
    assert somo.open(root).sizes["time"] == GROWN
    assert damage(root) == ["v1.0.0/manifest.json"]
    puts = []
    watch_puts(monkeypatch, puts.append)
    release.follow(product, root)
    assert puts == [join(root, "latest.json")]
    assert damage(root) == []
    assert somo.open(root).sizes["time"] == somo.open(root, layout="series").sizes["time"] == GROWN
    now = current(root)
    assert (now["version"], now["released"]) == (before["version"], before["released"])
    release.follow(product, root)
    assert puts == [join(root, "latest.json")]


def test_growth_that_fails_its_checks_is_not_followed(root, client):
    before = current(root)
    product = grow(root, client).model_copy(update={"checks": declared("1.0.0", valid_max=0.2).checks})
    with pytest.raises(ValidationError, match="range: values"):
        release.follow(product, root)
    assert current(root) == before


def test_following_that_was_stopped_leaves_the_former_pointer_and_is_made_up_for(root, client, monkeypatch):
    before = Path(root, "latest.json").read_bytes()
    product = grow(root, client)

    def stop(url):
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        watch_puts(patch, stop)
        release.follow(product, root)
    assert Path(root, "latest.json").read_bytes() == before
    assert somo.open(root).sizes["time"] == GROWN
    assert not manifest.is_followed(root, "v1.0.0")
    release.follow(product, root)
    assert manifest.is_followed(root, "v1.0.0")
    assert damage(root) == []


def test_a_version_that_was_never_released_is_not_followed(root):
    before = current(root)
    put(join(root, "v1.1.0/manifest.json"), b"{}")
    release.follow(declared("1.1.0"), root)
    assert current(root) == before


class Reader(threading.Thread):
    """Reads the latest version over and over; `mixed` is whatever did not fit together."""

    def __init__(self, root):
        super().__init__()
        self.root, self.seen, self.mixed, self.done = root, [], [], threading.Event()
        self.expected = {v: made.values(declared(v), DAYS, SEEDS[v])[0][1, 59, 4, 5] for v in VERSIONS}

    def run(self):
        while not self.done.is_set():
            try:
                self.read()
            except Exception as error:
                self.mixed.append(repr(error))

    def read(self):
        ds = somo.open(self.root)
        version = ds.attrs["product_version"]
        value = float(ds["soil_moisture"].isel(depth=1, time=59, lat=4, lon=5))
        pointer = current(self.root)
        digest = pointer["manifests"][f"v{pointer['version']}"]
        manifest_bytes = Path(self.root, f"v{pointer['version']}/manifest.json").read_bytes()
        if abs(value - self.expected[version]) > 5e-5 or manifest.checksum(manifest_bytes) != digest:
            self.mixed.append(f"{version} {value} {pointer}")
        if not all(Path(self.root, child).exists() for child in children(self.root)):
            self.mixed.append(f"{children(self.root)}")
        self.seen.append(version)

    def wait_for(self, version):
        at, deadline = len(self.seen), time.monotonic() + 20
        while version not in self.seen[at:]:
            assert time.monotonic() < deadline, self.mixed
            time.sleep(0.01)


def test_a_polling_reader_sees_one_version_or_the_other(root, client):
    reader = Reader(root)
    reader.start()
    try:
        reader.wait_for("1.0.0")
        release.release(declared("1.1.0", **LAX), root, client)
        reader.wait_for("1.1.0")
        release.withdraw(declared("1.1.0"), root, "1.1.0")
        reader.wait_for("1.0.0")
    finally:
        reader.done.set()
        reader.join()
    assert reader.mixed == []
    changes = [b for a, b in zip(reader.seen, reader.seen[1:], strict=False) if a != b]
    assert changes == ["1.1.0", "1.0.0"]


def point(*arguments):
    return CliRunner().invoke(app, ["point", *map(str, arguments)])


def test_point_writes_the_series_of_the_nearest_cell(root, tmp_path):
    path = tmp_path / "series.csv"
    ended = point(45.44, 5.57, "--url", root, "--start", "2016-02-01", "--end", "2016-02-29", "-o", path)
    assert ended.exit_code == 0, ended.output
    table = pd.read_csv(path, comment="#", index_col="time", parse_dates=True)
    assert list(table.index) == list(pd.date_range("2016-02-01", "2016-02-29"))
    assert list(table) == [
        "soil_moisture_0-10cm", "soil_moisture_10-30cm", "soil_moisture_std_0-10cm", "soil_moisture_std_10-30cm",
        "frozen", "status",
    ]  # fmt: skip
    mean, std = made.values(declared("1.0.0"), DAYS)
    ds = somo.open(root)
    row, column = (int(np.abs(ds[axis].values - at).argmin()) for axis, at in (("lat", 45.44), ("lon", 5.57)))
    day = int((ds["time"] < np.datetime64("2016-02-01")).sum())
    for field, name in ((mean, "soil_moisture"), (std, "soil_moisture_std")):
        for k, depth in enumerate(("0-10cm", "10-30cm")):
            np.testing.assert_allclose(table[f"{name}_{depth}"], field[k, day : day + 29, row, column], atol=1.01e-4)


def test_point_outside_the_grid_is_refused(root):
    ended = point(60, 5.5, "--url", root)
    assert ended.exit_code == 1
    assert "outside the grid" in str(ended.exception)


def test_point_takes_southern_and_western_places(root):
    ended = point(-45.5, -5.5, "--url", root)
    assert ended.exit_code == 1
    assert "-45.5 N -5.5 E lies outside the grid" in str(ended.exception)


def test_point_in_the_sea_is_refused(root):
    ended = point(45.55, 5.05, "--url", root)
    assert ended.exit_code == 1
    assert "the nearest cell with values is 45.55 5.25, 16 km away" in str(ended.exception)


def test_point_without_output_goes_to_the_terminal(root):
    ended = point(45.44, 5.57, "--url", root, "--version", "1.1.0", "--end", "2016-01-02")
    rows = [line for line in ended.output.splitlines() if not line.startswith("#")]
    assert rows[0].startswith("time,soil_moisture_0-10cm")
    assert len(rows) == 3


def test_point_of_no_day_says_which_there_are(root):
    ended = point(45.44, 5.57, "--url", root, "--start", "2017-01-01")
    assert ended.exit_code == 1
    assert "version 1.0.0 has 2016-01-01 to 2016-03-31" in str(ended.exception)


def test_point_names_the_option_that_is_no_day(root):
    ended = point(45.44, 5.57, "--url", root, "--start", "banana")
    assert ended.exit_code == 2
    assert "'--start'" in ended.output
    assert "'banana'" in ended.output


def test_a_pointer_that_another_release_moved_is_not_overwritten(root):
    former = manifest.read_pointer(root)
    put(join(root, "latest.json"), json.dumps({**former, "version": "9.9.9"}).encode())
    with pytest.raises(release.ReleaseError, match="changed by another release"):
        release.point(declared("1.0.0"), root, former, "1.0.0", {}, {})
    assert manifest.read_pointer(root)["version"] == "9.9.9"


def test_a_report_about_something_else_is_told(root):
    with pytest.raises(ValidationError, match="the report lacks"):
        require_judged(declared("1.0.0"), join(root, "v1.0.0"))
