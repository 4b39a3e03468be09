"""Which sections a report has, when they are made again, and that none takes the report with it."""

import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

from flows.results import record_archives
from flows.stages.validate import inputs_keys, pending_sections, validate
from somo.storage.objects import join, put
from somo.validate.published import ValidationError
from somo.validate.sections import register
from somo.validate.sections.register import SECTIONS, ReportSection, register_section
from somo.validate.sections.section import Impossible, Section
from somo.validate.sections.series import series_section
from tests.flows.stages.test_release import tables
from tests.publish import made

RAIN = {"url": "{year}.nc", "variable": "tp", "units": "mm d-1"}


def declared(**changes):
    return made.product("2016-01-01", "2016-03-31", **changes)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A root with a published version that has not been judged."""
    root = tmp_path_factory.mktemp("made")
    version = made.write_store(declared(), str(root))
    for name, table in tables("1.0.0").items():
        put(join(version, "validation", f"{name}.parquet"), table.to_parquet())
    return root


@pytest.fixture
def version(made_once, tmp_path):
    """URL of a copy, so that each test starts without a report."""
    return str(shutil.copytree(made_once / "v1.0.0", tmp_path / "v1.0.0", copy_function=shutil.copy2))


@pytest.fixture
def made_sections(monkeypatch):
    """The report cut to three sections: one drawn, one impossible, one that counts; and the names made, in order."""
    names = []

    def drawn(case):
        names.append("series")
        return series_section(case.published)

    def impossible(case):
        names.append("fig3")
        raise Impossible("no measured day has the 365 days of forcing before it")

    def plain(case):
        names.append("overview")
        return Section("overview", "n = 1.", b"<svg/>", pd.DataFrame({"a": [1]}))

    makers = {"overview": plain, "series": drawn, "fig3": impossible}
    cut = {name: replace(SECTIONS[name], maker=maker) for name, maker in makers.items()}
    for name in list(SECTIONS):
        monkeypatch.delitem(SECTIONS, name)
    for name, section in cut.items():
        monkeypatch.setitem(SECTIONS, name, section)
    return names


def report(version):
    return json.loads(Path(version, "report/report.json").read_text())["sections"]


def sections_of(product):
    return [section.name for section in register.sections_of(product)]


def test_every_section_has_a_maker_and_needs_what_it_compares():
    for section in SECTIONS.values():
        module, function = section.maker.split(":")
        assert callable(getattr(importlib.import_module(f"somo.validate.sections.{module}"), function))
    alone = sections_of(declared())
    assert not {"fig5a", "fig5b", "collocation", "fig7"} & set(alone)
    other = {"name": "Other", "variable": "SMsurf", "top_m": 0.0, "bottom_m": 0.1, "url": "x"}
    rain = {**made.product().forcing, "precipitation": RAIN}
    assert "fig5b" in sections_of(declared(compare=[other]))
    assert "collocation" not in sections_of(declared(compare=[other]))
    assert "collocation" in sections_of(declared(compare=[other, {**other, "name": "Third"}]))
    forcing = {name: RAIN if name == "precipitation" else made.PLAIN for name in rain}
    assert "fig7" in sections_of(declared(forcing=forcing))
    independent = [{"name": "net", "url": "net"}, {"name": "far", "url": "far", "role": "independent"}]
    assert "fig5a" in sections_of(declared(insitu=independent))


def test_an_impossible_section_leaves_the_others_their_report(version, made_sections, client):
    product = declared(targets={"scaling": "pooled"})
    page = Path(validate(product, str(Path(version).parent), version, client)).read_text()
    assert [s["name"] for s in report(version)] == ["overview", "series", "fig3"]
    assert report(version)[2]["not_drawn"] == "no measured day has the 365 days of forcing before it"
    assert page.count("<img") == 2
    assert "Not drawn: no measured day has the 365 days of forcing before it." in page
    assert "In pooled units" in report(version)[1]["caption"]
    assert pending_sections(product, version) == []


def test_an_error_that_is_no_lack_of_data_is_raised(version, made_sections, client, monkeypatch):
    def broken(case):
        raise ValidationError("Other: no file x.nc")

    monkeypatch.setitem(SECTIONS, "fig3", replace(SECTIONS["fig3"], maker=broken))
    with pytest.raises(ValidationError, match=r"no file x\.nc"):
        validate(declared(), str(Path(version).parent), version, client)
    assert pending_sections(declared(), version) == ["fig3"]


def test_sections_are_made_once_and_only_the_chosen_one_again(version, made_sections, client):
    validate(declared(), str(Path(version).parent), version, client)
    assert made_sections == ["overview", "series", "fig3"]
    validate(declared(), str(Path(version).parent), version, client)
    assert len(made_sections) == 3
    validate(declared(), str(Path(version).parent), version, client, only="series")
    assert made_sections[3:] == ["series"]
    assert len(report(version)) == 3
    with pytest.raises(ValidationError, match="--only fig9: no section of Made; allowed are overview, series, fig3"):
        validate(declared(), str(Path(version).parent), version, client, only="fig9")


def compared(path, value):
    ds = xr.Dataset(
        {"sm": (("time", "lat", "lon"), [[[value] * 3] * 3], {"units": "m3 m-3"})},
        {"time": pd.DatetimeIndex(["2016-01-01"]), "lat": [44.5, 45.5, 46.5], "lon": [4.5, 5.5, 6.5]},
    )
    ds.to_netcdf(path, engine="h5netcdf")


def changed(product, version, before):
    """Names of the sections that are made from something else than before, and what all are made from now."""
    now = inputs_keys(product, version)
    return {name for name in now if now[name] != before[name]}, now


def test_a_section_is_made_again_for_what_it_is_made_from_alone(version, client, tmp_path):
    archive, other = tmp_path / "far.zip", tmp_path / "cci_2016.nc"
    archive.write_bytes(b"stations")
    compared(other, 0.2)
    insitu = [{"name": "net", "url": "net"}, {"name": "far", "url": str(archive), "role": "independent"}]
    compare = [
        {"name": name, "variable": "sm", "top_m": 0.0, "bottom_m": 0.05, "url": str(tmp_path / "cci_{year}.nc")}
        for name in ("A", "B")
    ]
    product = declared(insitu=insitu, compare=compare)
    keys = inputs_keys(product, version)
    assert changed(product, version, keys)[0] == set()
    archive.write_bytes(b"other stations")
    names, keys = changed(product, version, keys)
    assert names == {"fig5a"}
    # The rules by which sensors of independent archives are kept count as well, and the declaration of the archive.
    stricter = product.model_copy(update={"targets": {"scaling": "none", "min_days": 120}})
    assert changed(stricter, version, keys)[0] == {"fig5a"}
    step = product.model_copy(update={"insitu": [insitu[0], {**insitu[1], "min_subdaily": "step"}]})
    assert changed(step, version, keys)[0] == {"fig5a"}
    compared(other, 0.35)
    names, keys = changed(product, version, keys)
    assert names == {"fig5a", "fig5b", "collocation", "fig6", "figS6"}
    compared(tmp_path / "cci_2017.nc", 0.3)
    assert changed(product, version, keys)[0] == set()
    table = pd.read_parquet(join(version, "validation", "crossval.parquet"))
    put(join(version, "validation", "crossval.parquet"), table.iloc[:-1].to_parquet())
    names, keys = changed(product, version, keys)
    assert names == {"figS3", "level", "stations", "uncertainty", "groups", "series", "fig4", "figS4"}


def test_archives_kept_out_of_training_are_recorded_before_sections_are_named(version, client, tmp_path, monkeypatch):
    """Recorded while its section is made, an archive would rename that section: it would be missing ever after."""
    archive = tmp_path / "far.zip"
    archive.write_bytes(b"stations")
    insitu = [{"name": "net", "url": "net"}, {"name": "far", "url": str(archive), "role": "independent"}]
    product, root = declared(insitu=insitu), version.rpartition("/")[0]

    def interrupted(name, case):
        raise KeyboardInterrupt

    monkeypatch.setattr("flows.stages.validate.make_section", interrupted)
    with pytest.raises(KeyboardInterrupt):
        validate(product, root, version, client, only="fig5a")
    keys = inputs_keys(product, version)
    record_archives(product, root, "independent")
    assert inputs_keys(product, version) == keys


def test_a_new_day_makes_pending_what_shows_it(made_once, tmp_path):
    """A day of April: no season of summer or winter, no year with anything to compare with, no whole block more."""
    compared(tmp_path / "cci_2015.nc", 0.2)
    compare = [
        {"name": name, "variable": "sm", "top_m": 0.0, "bottom_m": 0.05, "url": str(tmp_path / "cci_{year}.nc")}
        for name in ("A", "B")
    ]
    product = made.product("2015-12-01", None, compare=compare)
    version = made.write_store(product, str(tmp_path), days=122)
    for name, table in tables("1.0.0").items():
        put(join(version, "validation", f"{name}.parquet"), table.to_parquet())
    keys = inputs_keys(product, version)
    made.write_store(product, str(tmp_path), days=123)
    assert changed(product, version, keys)[0] == set()
    winter = made.product("2015-12-01", None, compare=compare, report={"season": "MAM"})
    keys = inputs_keys(winter, version)
    made.write_store(product, str(tmp_path), days=150)
    # A second whole block of 64 days, over which the overview takes its means.
    assert changed(winter, version, keys)[0] == {"overview"}
    keys = inputs_keys(winter, version)
    made.write_store(product, str(tmp_path), days=155)
    assert changed(winter, version, keys)[0] == {"fig6", "figS6"}


def test_another_season_makes_two_sections_pending(version):
    summer, autumn = (inputs_keys(declared(report={"season": season}), version) for season in ("JJA", "SON"))
    assert {name for name in summer if summer[name] != autumn[name]} == {"fig6", "figS6"}


def test_a_section_from_outside_stands_at_the_end_of_the_report(version, made_sections, client, monkeypatch):
    """One value, registered: it has its place in the report, and is made again when what it is made of changes."""

    def drawn(judged):
        count = pd.DataFrame({"stations": [len(judged.published.sensors)]})
        return Section("count", "How many sensors there are.", b"<svg/>", count, count)

    monkeypatch.setitem(SECTIONS, "count", None)
    del SECTIONS["count"]
    register_section(ReportSection("count", "Sensors, counted", drawn, ("stations",)))
    with pytest.raises(ValueError, match="count: the report has such a section, 'Sensors, counted'"):
        register_section(ReportSection("count", "Again", drawn, ("stations",)))
    page = Path(validate(declared(), str(Path(version).parent), version, client)).read_text()
    assert "Sensors, counted" in page
    assert [s["title"] for s in report(version)][-1] == "Sensors, counted"
    table = pd.read_parquet(Path(version, "validation/sensors.parquet"))
    put(join(version, "validation", "sensors.parquet"), table.iloc[:-1].to_parquet())
    assert pending_sections(declared(), version) == ["count"]
