"""Whose level the published values have is written into everything that readers open."""

import pytest

from somo.product.level import interval_subject, level_sentence
from somo.publish import attributes, documents, netcdf
from somo.publish.point import series_csv
from somo.publish.reader import open_version
from somo.publish.store import regions
from somo.validate.report.page import render
from tests.publish import made

SOIL = {"url": "era5land/swvl1_{year}.nc", "variable": "swvl1", "units": "m3 m-3"}
REFERENCE = {"scaling": "reference", "reference": [{"source": SOIL, "top_m": 0, "bottom_m": 0.07}]}


@pytest.fixture(scope="module")
def pooled():
    return made.product(start="2016-01-01", end="2016-02-10", targets={"scaling": "pooled"})


@pytest.fixture(scope="module")
def root(pooled, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("bucket"))
    made.write_store(pooled, folder, uncertain=True)
    return folder


def test_each_scaling_has_its_sentence(pooled):
    assert "do not tell whether one place is wetter than another" in level_sentence(pooled)
    assert "stations' own values" in level_sentence(made.product())
    reference = made.product(targets=REFERENCE)
    assert "reference model (variables swvl1)" in level_sentence(reference)
    named = made.product(targets=REFERENCE, publication={"reference_model": "ERA5-Land"})
    assert "the mean and spread of the reference model ERA5-Land" in level_sentence(named)
    assert len({interval_subject(product) for product in (pooled, reference, named, made.product())}) == 4


def test_the_store_tells_the_level_of_pooled_series(pooled, root):
    store = open_version(root, "1.0.0")
    sentence = level_sentence(pooled)
    assert store["soil_moisture"].attrs["comment"] == store.attrs["soil_moisture_level"] == sentence
    assert store.attrs["summary"].endswith(sentence)
    interval = store["soil_moisture_uncertainty"].attrs["comment"]
    assert "brought to the mean and spread of its layer, not of its own values" in interval
    assert regions._mean_attrs(store)["comment"] == sentence


def test_yearly_files_tell_the_level(pooled, root):
    year = netcdf.year_dataset(open_version(root, "1.0.0"), pooled, pooled.layers[1], 2016)
    assert year["layer2"].attrs["comment"] == year.attrs["soil_moisture_level"] == level_sentence(pooled)
    assert "of its own values" in year["layer2_uncertainty"].attrs["comment"]


def test_a_series_a_readme_and_the_report_tell_the_level(pooled, root):
    store = open_version(root, "1.0.0")
    cell = store.isel(lat=3, lon=4)
    assert f"# {level_sentence(pooled)}\n" in series_csv(cell, root, (45.25, 5.45))
    # Versions of earlier releases have no such attribute, and their series no such line.
    del cell.attrs[attributes.LEVEL]
    assert "Level" not in series_csv(cell, root, (45.25, 5.45))
    assert level_sentence(pooled) in documents.readme(pooled, made.grid_of(pooled), store["time"].to_index(), 2026)
    about = {"title": "A", "version": "1.0.0", "period": "2016", "level": "Level: pooled."}
    assert render([], about).index("Level: pooled.") < render([], about).index("<nav")
