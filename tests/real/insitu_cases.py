"""Small in-situ archives as people have them: what comes out of each, beside what should.

Each folder of `SOMO_CASES`/insitu has a `make.py` that writes its `input`. As a script
(`python -m tests.real.insitu_cases`) it prints a table of all cases.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from flows.bench.stations import count_requests, usage
from flows.command.sensors import read_series
from flows.environment import export
from flows.service.s3server import S3Server
from somo.insitu.errors import InsituError
from somo.insitu.rules import Series
from somo.insitu.targets import sensor_table, unusable_archives
from somo.product.declaration import Product
from somo.storage.byte_ranges import BLOCK_BYTES
from somo.storage.objects import put_file

INVENTED_DAYS = 200
# The invented archives are of the year 2018 and lie near 50 N, 10 E; two stations of one case lie at 45 and 55 N.
PRODUCT: Mapping[str, object] = {
    "name": "cases",
    "period": {"start": "2018-01-01", "end": "2018-12-31"},
    "grid": {"kind": "regular", "west": 0, "east": 20, "south": 40, "north": 60, "step_deg": 0.1},
    "targets": {"scaling": "none"},
    "forcing": {"air_temperature": {"url": "nowhere/{year}.nc", "variable": "t2m", "units": "K"}},
    "static": {"elevation": {"url": "nowhere.nc", "variable": "z"}},
}
OWN_STATIONS = (
    "station,latitude,longitude,file,time,value,depth_from_m,depth_to_m,units,utc_offset_hours,quality,good\n"
    "Own,50.05,10.05,OWN_DD.csv,TIMESTAMP,SWC_F_MDS_1,0.05,0.05,%,,SWC_F_MDS_1_QC,1.0\n"
)


def folder() -> Path:
    """The cases of in-situ archives."""
    return Path(os.environ["SOMO_CASES"]) / "insitu"


class Case:
    """One case after its `make.py`: a folder that may be written, and what the product makes of it.

    Attributes
    ----------
    place : copy of the case's folder with its `input`
    """

    def __init__(self, name: str, scratch: Path) -> None:
        shutil.copytree(folder() / "common", scratch / "common")
        self.place = Path(shutil.copytree(folder() / name, scratch / name))
        if (self.place / "make.py").exists():
            subprocess.run([sys.executable, "make.py"], cwd=self.place, check=True)

    def series(self, *archives: Mapping[str, object]) -> list[Series]:
        """Series of every sensor of some archives; without any, of the case's `input`."""
        declared = archives or ({"name": "case", "url": "input"},)
        insitu = [{**archive, "url": self.url(str(archive["url"]))} for archive in declared]
        self.product = Product.model_validate({**PRODUCT, "insitu": insitu})
        # A name of its own each time: a second look must not find what the first has kept.
        return read_series(self.product, tempfile.mkdtemp(dir=self.place))

    def table(self, *archives: Mapping[str, object]) -> pd.DataFrame:
        """The table of `somo sensors`, sorted by network, station and depth."""
        table = sensor_table(self.series(*archives))
        return table.sort_values(["archive", "network", "station", "depth_from_m"]).reset_index(drop=True)

    def url(self, url: str) -> str:
        """Where something of the case is."""
        return url if "://" in url else str(self.place / url)


def inch_depths(case: Case) -> str:
    table = case.table()
    layers = dict(zip(table["depth_from_m"], table["layer"], strict=True))
    assert layers == {0.0508: "layer1", 0.1016: "layer1", 0.2032: "layer2", 0.3048: "layer2", 0.508: "layer3"}, layers
    return ", ".join(f"{depth} m {layer}" for depth, layer in layers.items())


def depths_of_two_layouts(case: Case) -> str:
    layers = case.table().groupby("station")["layer"].agg(list).to_dict()
    assert layers == {layout: ["layer1", "layer2", "layer3"] for layout in ("HEAD", "CEOP")}, layers
    return "both layouts layer1, layer2, layer3"


def flat_folder(case: Case) -> str:
    series = {s.station: (s.latitude, round(float(s.daily.mean()), 1)) for s in case.series()}
    assert series == {"North": (55.05, 0.1), "South": (45.05, 0.4)}, series
    return f"two stations, {series}"


def reason(word: str) -> Callable[[Case], str]:
    """Every sensor of the case is dropped with a reason that says these words."""

    def check(case: Case) -> str:
        table = case.table()
        assert len(table) and not table["kept"].any()
        assert all(re.search(word, text) for text in table["reason"]), table["reason"].tolist()
        return "; ".join(sorted(set(table["reason"])))

    return check


def kept(count: int, note: str = "") -> Callable[[Case], str]:
    """So many sensors, all kept, whose notes say these words."""

    def check(case: Case) -> str:
        table = case.table()
        assert len(table) == count and table["kept"].all(), table[["station", "reason"]].to_string()
        assert all(re.search(note, text) for text in table["reason"]), table["reason"].tolist()
        assert (table["valid_days"] == INVENTED_DAYS).all(), table["valid_days"].tolist()
        return f"{count} kept, {INVENTED_DAYS} days each{'; ' + table['reason'][0] if note else ''}"

    return check


def newer_download(case: Case) -> str:
    [series] = case.series()
    mean = float(series.daily.mean())
    # The newer of the two downloads lies 0.1 m3 m-3 above the older one.
    assert abs(mean - 0.356) < 1e-3 and "of 2 downloads the newest was taken" in series.note, (mean, series.note)
    return f"mean {mean:.3f}; {series.note}"


def reversed_depth(case: Case) -> str:
    [row] = case.table().to_dict("records")
    assert (row["depth_from_m"], row["depth_to_m"], row["kept"]) == (0, 0.1, True), row
    return "0 to 0.1 m, kept"


def nested_zip(case: Case) -> str:
    table = case.table()
    assert table["kept"].sum() == 1 and (table["valid_days"] == INVENTED_DAYS).all(), table.to_string()
    return "read; " + "; ".join(f"{count} x {why or 'kept'}" for why, count in table["reason"].value_counts().items())


def six_hourly(case: Case) -> str:
    table = case.table()
    sparse = table[table["network"] == "COARSE"].iloc[0]
    assert "4 values a day, 6 needed" in sparse["reason"], sparse["reason"]
    lenient = case.table({"name": "case", "url": "input", "min_subdaily": {"COARSE": 4, "default": 6}})
    assert lenient["kept"].all(), lenient["reason"].tolist()
    return f"{sparse['reason']}; both kept with min_subdaily by network"


def cosmos(case: Case) -> str:
    table = case.table({"name": "c", "url": "input", "format": "cosmos"}).set_index("station")
    reasons = table["reason"].to_dict()
    assert table.loc[["A001", "B001"], "kept"].all(), reasons
    assert "above 1 m3 m-3" in reasons["D001"] and re.search("depth|footprint", reasons["C001"]), reasons
    with_bom = case.table({"name": "c", "url": "input-bom", "format": "cosmos"})
    assert with_bom["kept"].all() and len(with_bom) == 1
    return f"A001, B001 and the table with a BOM read; C001: {reasons['C001']}; D001: {reasons['D001']}"


def twice(case: Case) -> str:
    table = case.table({"name": "a", "url": "input"}, {"name": "b", "url": "input"})
    assert table["kept"].sum() == 1, table.to_string()
    return table[~table["kept"]]["reason"].iloc[0]


def unusable_beside_a_good_one(case: Case) -> str:
    [deep] = case.place.joinpath("input").rglob("*.stm")
    text = deep.read_text().replace("0.6000 0.6000", "0.0500 0.0500")
    good = case.place / "good" / "N" / "D" / deep.name.replace("0.600000", "0.050000")
    good.parent.mkdir(parents=True)
    good.write_text(text)
    table = case.table({"name": "deep", "url": "input"}, {"name": "good", "url": "good"})
    [warning] = unusable_archives(table, {a.name: a.url for a in case.product.insitu})
    assert table["kept"].tolist() == [False, True] and warning.startswith("deep ("), warning
    return f"goes on; {warning.split('; ')[0].split('): ')[1]}"


def no_reference(case: Case) -> str:
    try:
        Product.model_validate({**PRODUCT, "targets": {}, "insitu": [{"name": "a", "url": "b"}]})
    except ValueError as error:
        assert all(f'scaling = "{word}"' in str(error) for word in ("pooled", "none")), error
        return "refused; the text tells of pooled and none"
    raise AssertionError("a declaration without a reference was taken")


def own_csv(case: Case) -> str:
    (case.place / "input" / "stations.csv").write_text(OWN_STATIONS)
    [series] = case.series({"name": "own", "url": "input/stations.csv", "format": "table"})
    plain = pd.read_csv(case.place / "input" / "OWN_DD.csv")["SWC_F_MDS_1"] / 100
    assert not series.reason and len(series.daily) == INVENTED_DAYS, series.reason
    np.testing.assert_allclose(series.daily, plain, rtol=0, atol=1e-15)
    return f"read as a table, {len(series.daily)} days equal to the file's"


def stuck(case: Case) -> str:
    text = pd.read_csv(case.place / "input" / "stuck.csv", index_col=0, parse_dates=True).iloc[:, 0]
    lines = "".join(f"{day:%Y/%m/%d} {hour:02d}:00 {x:.4f} G M\n" for day, x in text.items() for hour in range(24))
    name = "N_N_S_sm_0.050000_0.050000_P_20180101_20190204.stm"
    station = case.place / "archive" / "N" / "S"
    station.mkdir(parents=True)
    (station / name).write_text("N N S 50.05000 10.05000 100.0 0.0500 0.0500 P\n" + lines)
    [series] = case.series({"name": "a", "url": "archive"})
    assert series.reason.startswith("stuck sensor"), series.reason
    return series.reason


def order_in_a_zip_on_s3(case: Case) -> str:
    """Of each zip on S3 every byte is asked for once, beside one block for the zip's directory."""
    asked_of_zip: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="somo-s3-") as store, S3Server(Path(store)) as server:
        export(server.environment())
        count_requests()
        for name in ("sorted.zip", "shuffled.zip"):
            url = f"s3://{server.bucket}/{name}"
            put_file(case.place / name, url)
            asked = usage()[0]
            assert case.table({"name": "zip", "url": url})["kept"].all()
            size, asked = (case.place / name).stat().st_size, usage()[0] - asked
            asked_of_zip[name] = f"{asked / 1e3:.0f} of {size / 1e3:.0f} kB"
            assert asked <= size + BLOCK_BYTES, asked_of_zip
    return ", ".join(f"{name}: {text} read, its directory's block included" for name, text in asked_of_zip.items())


TESTED_ELSEWHERE = {
    "18": "tests/flows/stages/test_archives.py::test_tasks_follow_the_bytes_and_not_the_cluster",
    "22": "tests/flows/stages/test_targets.py::test_a_reference_on_its_own_nodes_and_over_its_own_period",
}
"""Cases without an input, which need a cluster or a reference model."""
CHECKS: dict[str, Callable[[Case], str]] = {
    "01": inch_depths,
    "02": depths_of_two_layouts,
    "03": flat_folder,
    "04": reason(r"values above 1 m3 m-3: \d+ of \d+ good values, .* in percent or broken"),
    "05": newer_download,
    "06": reversed_depth,
    "07": reason("file has no data"),
    "08": kept(3),
    "09": kept(1, "1 line cannot be read, such as line 2002: '2018/03/25 24:00 0.2 G M'"),
    "10": kept(1),
    "11": kept(1),
    "12": nested_zip,
    "13": kept(2),
    "14": reason("3 values a day, 6 needed"),
    "15": six_hourly,
    "16": cosmos,
    "17": twice,
    "19": unusable_beside_a_good_one,
    "20": no_reference,
    "21": own_csv,
    "23": stuck,
    "24": order_in_a_zip_on_s3,
}


def names() -> list[str]:
    """The cases that are there."""
    return sorted(path.name for path in folder().iterdir() if path.name[:2].isdigit())


def outcome(name: str, scratch: Path) -> str:
    """What the product made of a case.

    Raises
    ------
    AssertionError
        where it is not what it should be
    """
    number = name[:2]
    if number in TESTED_ELSEWHERE:
        return f"no input; see {TESTED_ELSEWHERE[number]}"
    return CHECKS[number](Case(name, scratch))


def main() -> None:
    chosen = sys.argv[1:]
    for name in (name for name in names() if not chosen or name[:2] in chosen):
        with tempfile.TemporaryDirectory(prefix="somo-case-") as scratch:
            try:
                print(f"{name:35} right: {outcome(name, Path(scratch))}", flush=True)
            except (AssertionError, InsituError) as error:
                print(f"{name:35} WRONG: {error}", flush=True)


if __name__ == "__main__":
    main()
