"""The `ismn` package's own test archives, read by us and by plain pandas.

Its source distribution holds archives in every layout that the ISMN has delivered. The wheel does not, so the source
is taken from the file that `SOMO_ISMN_SDIST` names, or fetched with pip. As a script
(`python -m tests.real.ismn_archives`) it prints a table of all archives.
"""

import io
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from flows.command.sensors import read_series
from somo.insitu.rules import Series
from somo.insitu.targets import drop_totals, sensor_table, target_table
from somo.product.declaration import Product

STEP_DEG = 0.5
# The product's own layers, and one so thick that no file is passed by for its depth.
LAYERS_CM = {"layers": {"layer1": (0, 10), "layer2": (10, 30), "layer3": (30, 50)}, "thick": {"thick": (0, 100)}}
FEWEST_VALUES, MIN_DAYS = 6, 90
TOLERANCE, EQUAL = 1e-12, 1e-9
CEOP_COLUMNS = 15
Sensor = tuple[str, str, float, float]
"""Network and station as the file says, depth from and to in metres as its name says."""


class SourceMissingError(RuntimeError):
    """The source distribution can neither be found nor fetched."""


@dataclass(frozen=True)
class Outcome:
    """One archive by both roads.

    Attributes
    ----------
    archive : its path below `test_data`
    layers : which of `LAYERS_CM`
    sensors, kept, days : as we read them
    worst : largest difference of a daily mean, m3 m-3; infinite where days differ
    differences : what else is not the same, empty if nothing
    """

    archive: str
    layers: str
    sensors: int
    kept: int
    days: int
    worst: float
    differences: str


def fetch_archives(folder: Path) -> Path:
    """Unpack the source distribution of the installed release; returns its folder `test_data`.

    Raises
    ------
    SourceMissingError
        saying what to do, where pip cannot fetch it
    """
    release = version("ismn")
    given = os.environ.get("SOMO_ISMN_SDIST", "")
    if not given:
        command = [sys.executable, "-m", "pip", "download", f"ismn=={release}", "--no-deps", "--no-binary", ":all:"]
        ended = subprocess.run([*command, "-d", folder], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise SourceMissingError(
                f"the source of ismn {release} cannot be fetched with pip, which needs a package index; put "
                f"ismn-{release}.tar.gz here by other means and export SOMO_ISMN_SDIST=its path. pip said: "
                f"{ended.stderr.strip().splitlines()[-1:]}"
            )
        given = str(folder / f"ismn-{release}.tar.gz")
    with tarfile.open(given) as source:
        # Debian 12's Python knows no filter of what an archive may write where: its plain files, below the folder.
        for member in source.getmembers():
            if member.isreg() and (content := source.extractfile(member)) is not None:
                path = folder / Path("/", member.name).resolve().relative_to("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    return folder / f"ismn-{release}" / "tests" / "test_data"


def archives(test_data: Path) -> list[Path]:
    """Every zip and every unpacked folder of networks."""
    # The two smallest samples lie directly in the folder of their network, without one of a station.
    unpacked = {
        path.parents[1] if path.match("format_*/*/*.stm") else path.parents[2] for path in test_data.rglob("*.stm")
    }
    return sorted([*unpacked, *(path for path in test_data.rglob("*.zip") if zipfile.is_zipfile(path))])


def outcomes(test_data: Path, scratch: Path) -> Iterator[Outcome]:
    """Every archive with every set of layers."""
    for archive in archives(test_data):
        good = archive
        # Some samples are older than the ISMN's flags, or have none: without a good value they would show nothing.
        if not any(" G " in text for _, text in _files(archive)):
            good = scratch / "flagged-good" / archive.relative_to(test_data)
            _write_flagged_good(archive, good)
        for layers in LAYERS_CM:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                outcome = compare(good, layers, Path(folder))
            yield replace(outcome, archive=f"{archive.relative_to(test_data)}{'' if good == archive else ' (U as G)'}")


def _write_flagged_good(archive: Path, target: Path) -> None:
    """A copy of an archive whose unknown flags say good; nothing else is another byte."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if archive.is_dir():
        shutil.copytree(archive, target)
        for path in target.rglob("*.stm"):
            path.write_bytes(path.read_bytes().replace(b" U ", b" G "))
        return
    with zipfile.ZipFile(archive) as opened, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for name in opened.namelist():
            written.writestr(name, opened.read(name).replace(b" U ", b" G "))


def compare(archive: Path, layers: str, scratch: Path) -> Outcome:
    """Daily means, layers, kept sensors and totals of one archive by both roads."""
    product = declared(archive, layers)
    series = read_series(product, str(scratch))
    ours = {(s.network, s.station, s.depth_from_m, s.depth_to_m): s for s in series}
    plain = {sensor: _plain_daily(text) for sensor, text in _files(archive)}
    name, table = archive.name, sensor_table(series)
    if ours.keys() != plain.keys():
        return Outcome(name, layers, len(ours), 0, 0, math.inf, f"sensors {sorted(ours.keys() ^ plain.keys())}")
    # Files of no layer are not read, so their days are compared with the thick layer alone.
    layered = {sensor: daily for sensor, daily in plain.items() if _plain_layer(sensor, layers)}
    worst = max((_apart(ours[sensor].daily, daily) for sensor, daily in layered.items()), default=0.0)
    differences = [
        f"{sensor}: {ours[sensor].layer or 'no layer'}, {ours[sensor].reason or 'kept'}"
        for sensor, daily in plain.items()
        if ours[sensor].layer != _plain_layer(sensor, layers)
        or bool(ours[sensor].reason) == _is_plainly_kept(sensor, daily, layers, product.targets.max_equal_share)
    ]
    if sum(drop_totals(table).values()) != len(plain):
        differences.append("the totals do not add up to all sensors")
    if len(target_table(series)) != _plain_rows(ours, plain):
        differences.append("the targets have another number of days")
    days = sum(map(len, layered.values()))
    return Outcome(name, layers, len(ours), int(table["kept"].sum()), days, worst, "; ".join(differences))


def declared(archive: Path, layers: str) -> Product:
    """A product of the whole Earth that learns from this archive alone."""
    return Product.model_validate(
        {
            "name": "ismn-samples",
            "period": {"start": "1950-01-01", "end": "2026-12-31"},
            "grid": {
                "kind": "regular", "west": -180, "east": 180, "south": -60, "north": 85, "step_deg": STEP_DEG
            },
            "layers": [
                {"name": name, "top_m": top / 100, "bottom_m": bottom / 100}
                for name, (top, bottom) in LAYERS_CM[layers].items()
            ],
            "targets": {"scaling": "pooled", "min_days": MIN_DAYS},
            "forcing": {"air_temperature": {"url": "nowhere/{year}.nc", "variable": "t2m", "units": "K"}},
            "static": {"elevation": {"url": "nowhere.nc", "variable": "z"}},
            "insitu": [{"name": "ismn", "url": str(archive), "min_subdaily": FEWEST_VALUES}],
        }
    )  # fmt: skip


def _files(archive: Path) -> Iterator[tuple[Sensor, str]]:
    """Every file of soil moisture as text."""
    if archive.is_dir():
        paths = {str(path.relative_to(archive)): path.read_bytes() for path in archive.rglob("*.stm")}
    else:
        with zipfile.ZipFile(archive) as opened:
            paths = {name: opened.read(name) for name in opened.namelist() if name.endswith(".stm")}
    for name, content in paths.items():
        # ..._sm_<from>_<to>_<instrument>_<first day>_<last day>.stm
        top, bottom = name.split("_sm_")[1].split("_")[:2]
        text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
        words = text.split("\n", 1)[0].split()
        # The older layout has two times before the names, in every line.
        first = 4 if len(words) == CEOP_COLUMNS else 0
        yield (words[first + 1], words[first + 2], float(top), float(bottom)), text


def _plain_daily(text: str) -> pd.Series:
    """The rule in plain pandas: flag exactly G, finite, not negative, at least six values a day."""
    has_header = len(text.split("\n", 1)[0].split()) != CEOP_COLUMNS
    table = pd.read_csv(io.StringIO(text), sep=r"\s+", header=None, skiprows=int(has_header), dtype={0: str, 1: str})
    value, flag = (2, 3) if has_header else (12, 13)
    table.index = pd.to_datetime(table[0] + " " + table[1], format="%Y/%m/%d %H:%M")
    good = table[(table[flag] == "G") & (table[value] >= 0)][value].dropna()
    by_day = good[~good.index.duplicated()].groupby(lambda time: time.normalize())
    means, counts = by_day.mean(), by_day.count()
    return means[counts >= FEWEST_VALUES]


def _plain_layer(sensor: Sensor, layers: str) -> str:
    top_cm, bottom_cm = (math.floor(round(depth * 100, 6)) for depth in sensor[2:])
    inside = (n for n, (above, below) in LAYERS_CM[layers].items() if above <= top_cm and bottom_cm <= below)
    return next(inside, "")


def _is_plainly_kept(sensor: Sensor, daily: pd.Series, layers: str, most_equal: float) -> bool:
    if len(daily) < MIN_DAYS or daily.max() > 1 or not _plain_layer(sensor, layers):
        return False
    steps = daily.diff()[daily.index.to_series().diff() == pd.Timedelta(days=1)]
    return bool((steps.abs() <= EQUAL).mean() <= most_equal)


def _plain_rows(ours: dict[Sensor, Series], plain: dict[Sensor, pd.Series]) -> int:
    """Days of cells and layers that have a kept sensor."""
    rows = {(s.cell, s.layer, day) for sensor, s in ours.items() if not s.reason for day in plain[sensor].index}
    return len(rows)


def _apart(ours: pd.Series, plain: pd.Series) -> float:
    if len(ours) != len(plain) or (ours.index != plain.index).any():
        return math.inf
    return float((ours - plain).abs().max()) if len(ours) else 0.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="somo-ismn-") as folder:
        test_data = fetch_archives(Path(folder))
        for outcome in outcomes(test_data, Path(folder)):
            print(line(outcome), flush=True)


def line(outcome: Outcome) -> str:
    """One row of the table."""
    return (
        f"{outcome.archive:72} {outcome.layers:6} {outcome.sensors} sensors, {outcome.kept} kept, {outcome.days:5} "
        f"days, equal to {outcome.worst:.1e} m3 m-3"
        f"{'; BUT ' + outcome.differences if outcome.differences else ''}"
    )


if __name__ == "__main__":
    main()
