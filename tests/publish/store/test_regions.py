"""The series of countries, against sums that xarray makes of the maps."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import somo.publish.reader
from flows.stages.countries import write_regions
from flows.stages.publish import write_drought
from somo.core.grid import Grid
from somo.core.status import FINAL, PROVISIONAL
from somo.publish.store import countries, region_sums, regions
from somo.publish.store import maps as zarr
from somo.publish.store.packing import FILL
from somo.publish.store.region_sums import runs
from somo.storage.objects import join
from tests.publish import made

FRANCE, ITALY = 250, 380


@pytest.fixture(scope="module")
def declared():
    """Cells on either side of the border of France and Italy."""
    alps = {"kind": "regular", "west": 6.4, "east": 7.2, "south": 44.6, "north": 45.2, "step_deg": 0.1}
    cut = {"time": 73, "lat": 6, "lon": 8, "tile_lat": 6, "tile_lon": 8}
    yearly = {"lookback": 30, "predict_last_n": 365}
    drought = {"base": BASE, "min_years": 3}
    return made.product(start="2010-01-01", end=None, grid=alps, drought=drought, chunks=cut, sequence=yearly)


BASE = {"start": "2010-01-01", "end": "2012-12-31"}
DAYS = 3 * 365 + 1 + 90


@pytest.fixture(scope="module")
def version_url(declared, client, tmp_path_factory):
    url = made.write_store(declared, str(tmp_path_factory.mktemp("regions")), days=DAYS, provisional=12)
    write_drought(declared, url, client)
    write_regions(declared, url, client)
    return url


def test_the_borders_of_cells():
    """Cities, an enclave inside a country, an island, and the sea."""
    places = {
        "Berlin": (52.52, 13.40, 276), "Rome": (41.9, 12.5, 380), "San Marino": (43.94, 12.46, 674),
        "Reykjavik": (64.1, -21.9, 352), "open Atlantic": (50.0, -30.0, 0), "Denver": (39.7, -105.0, 840),
        "Fiji before the date line": (-17.8, 178.0, 242), "Chukotka beyond it": (66.5, -175.0, 643),
        "Norwegian Sea": (67.5, 5.0, 0), "Kiruna": (67.85, 20.2, 752), "Antarctica": (-75.0, 20.0, 10),
    }  # fmt: skip
    for name, (lat, lon, code) in places.items():
        assert countries.country_of_cells(Grid(np.array([lat]), np.array([lon]), 0.1)) == code, name
    same = countries.country_of_cells(Grid(np.array([39.7]), np.array([255.0]), 0.1))
    assert same == 840
    assert countries.country_names()[36] == "Australia"


def test_a_country_has_its_area():
    """Of the official 357,600 km2 of Germany and 301,000 of Italy, whatever the outlines leave out is below 1 %."""
    grid = Grid.regular(-12, 45, 36, 71.5, 0.1)
    codes = countries.country_of_cells(grid)
    for code, km2 in ((276, 357_600), (380, 301_000)):
        hectares = (countries.cell_hectares(grid)[:, None] * (codes == code)).sum()
        assert hectares / countries.HECTARES_PER_KM2 == pytest.approx(km2, rel=0.01)


def test_means_and_shares_are_those_of_the_maps(version_url):
    """By xarray's own weighted mean over a mask, which shares no code with the sums."""
    group = somo.publish.reader.open_zarr(join(version_url, regions.STORE)).load()
    maps = somo.publish.reader.open_zarr(join(version_url, "soil_moisture.zarr")).load()
    drought = somo.publish.reader.open_zarr(join(version_url, "drought.zarr")).load()
    assert group["region"].values.tolist() == [FRANCE, ITALY]
    assert group["region"].attrs["names"] == ["France", "Italy"]
    # CF has no country in its list of regions.
    assert "standard_name" not in group["region"].attrs | group["region_of_cell"].attrs
    area = np.cos(np.radians(maps["lat"]))
    for code in (FRANCE, ITALY):
        inside = group["region_of_cell"] == code
        expected = maps["soil_moisture"].where(inside).weighted(area).mean(("lat", "lon"))
        actual = group["soil_moisture"].sel(region=code)
        np.testing.assert_allclose(actual, expected, atol=6e-5)
        classes = drought["drought_class"].where(inside)
        for number in range(6):
            share = (classes == number).where(classes.notnull()).weighted(area).mean(("lat", "lon"))
            stored = group["drought_area_share"].sel(region=code).isel(drought_class=number)
            np.testing.assert_allclose(stored, share, atol=3e-4)
    np.testing.assert_allclose(group["drought_area_share"].sum("drought_class"), 1, atol=3e-4)
    assert float(group["area"].sum()) == pytest.approx(45 * 11.1 * 7.87, rel=0.1)


def test_a_mean_is_of_the_cells_with_a_value_by_their_area(monkeypatch):
    """Cells of 1 and 3 hectares in one country hold 10 and 30 steps, then 30 alone, then nothing."""
    packed = np.array([[10, 30], [FILL, 30], [FILL, FILL]], np.int16).reshape(1, 3, 2, 1)
    monkeypatch.setattr(zarr, "read_packed", lambda *_: packed)
    rows = np.array([1.0, 3.0])
    of_cell = np.full((2, 1), FRANCE, np.int16)
    one_country = region_sums.Countries(np.array([FRANCE], np.int16), of_cell, rows)
    whole = slice(0, 2), slice(0, 1)
    sums = region_sums.add_up([region_sums.mean_sums("", slice(0, 3), whole, one_country)], 3, 1, 1, 2)
    assert region_sums.means_of(sums).tolist() == [[[25, 30, FILL]]]


def test_shares_are_of_the_area_that_has_a_class(monkeypatch):
    """Cells of 1, 3 and 6 hectares, the last abroad: D1, none and D4; then nothing, D1 and D1; then nothing."""
    packed = np.array([[2, 0, 5], [FILL, 2, 2], [FILL, FILL, FILL]], np.int16).reshape(1, 3, 3, 1)
    monkeypatch.setattr(zarr, "read_packed", lambda *_: packed)
    of_cell = np.array([[FRANCE], [FRANCE], [ITALY]], np.int16)
    countries_of_grid = region_sums.Countries(np.array([FRANCE, ITALY], np.int16), of_cell, np.array([1.0, 3.0, 6.0]))
    whole = slice(0, 3), slice(0, 1)
    sums = region_sums.class_sums("", slice(1, 4), whole, countries_of_grid)
    shares = region_sums.shares_of(region_sums.add_up([sums], 5, 1, 2, 6))
    none = [FILL] * 6
    assert shares[:, 0].tolist() == [
        [none, [7500, 0, 2500, 0, 0, 0], [0, 0, 10000, 0, 0, 0], none, none],
        [none, [0, 0, 0, 0, 0, 10000], [0, 0, 10000, 0, 0, 0], none, none],
    ]
    assert countries_of_grid.km2.tolist() == [0.04, 0.06]


def test_parts_of_a_grid_add_up_to_the_whole(monkeypatch):
    """Two columns of two countries; one part is the eastern column, in which one of them has no cell."""
    packed = np.array([[100, 200], [300, FILL]], np.int16).reshape(1, 1, 2, 2)
    monkeypatch.setattr(zarr, "read_packed", lambda url, name, days, cells: packed[:, :, cells[0], cells[1]])
    of_cell = np.array([[FRANCE, ITALY], [FRANCE, ITALY]], np.int16)
    both = region_sums.Countries(np.array([FRANCE, ITALY], np.int16), of_cell, np.array([1.0, 3.0]))
    columns = [(slice(0, 2), slice(k, k + 1)) for k in range(2)]
    sums = [region_sums.mean_sums("", slice(0, 1), cells, both.part(cells)) for cells in columns]
    assert region_sums.means_of(region_sums.add_up(sums, 1, 1, 2, 2)).tolist() == [[[250]], [[200]]]


def test_countries_are_those_with_cells_that_have_values():
    grid = Grid(np.array([48.0, 45.0]), np.array([2.0, 8.5, -30.0]), 0.1)
    filled = np.array([[True, False, True], [False, True, True]])
    found = region_sums.Countries.of(grid, filled)
    assert found.codes.tolist() == [FRANCE, ITALY]
    assert found.of_cell.tolist() == [[FRANCE, 0, 0], [0, ITALY, 0]]


def test_days_that_readers_do_not_see_as_final_are_made_anew():
    """Final for readers and now; provisional for readers; provisional now; not seen yet. Days may go, too."""
    final, open_ = FINAL, PROVISIONAL
    status, shown = np.array([final, final, open_, final], "int8"), np.array([final, open_, final], "int8")
    assert region_sums.changed(status, shown).tolist() == [False, True, True, True]
    assert region_sums.changed(status[:1], shown).tolist() == [False]


def test_new_days_alone_give_the_bytes_of_all_anew(declared, version_url, client, tmp_path, monkeypatch):
    """Days added and a provisional one made final: the other side holds what a fresh publication holds."""
    store = str(tmp_path)
    asked: list[slice] = []
    url = made.write_store(declared, store, days=DAYS, provisional=12)
    write_drought(declared, url, client)
    write_regions(declared, url, client)
    shown = somo.publish.reader.open_zarr(join(url, regions.STORE))
    made.write_store(declared, store, days=DAYS + 20)
    write_drought(declared, url, client)
    monkeypatch.setattr(
        "flows.stages.countries.runs", lambda *given: asked.extend(found := list(runs(*given))) or found
    )
    write_regions(declared, url, client)
    first_new = min(span.start for span in asked if span.stop > 200)
    assert first_new >= DAYS - 12
    updated = shards(tmp_path / "v1.0.0" / regions.STORE, ".")
    assert shown.sizes["time"] == DAYS
    assert int(shown["status"].sum()) == 12
    other = made.write_store(declared, str(tmp_path / "anew"), days=DAYS + 20)
    write_drought(declared, other, client)
    write_regions(declared, other, client)
    assert shards(tmp_path / "anew/v1.0.0" / regions.STORE, "/") == updated
    asked.clear()
    write_regions(declared, url, client)
    assert asked == []


def test_windows_that_are_laid_otherwise_are_all_made_anew(declared, version_url, client, tmp_path):
    """Twice as many windows, and shorter ones: none of those that readers saw is taken for one of them."""
    anew, url = (str(shutil.copytree(version_url, tmp_path / name / "v1.0.0")) for name in ("anew", "changed"))
    for store in ("drought.zarr", regions.STORE):
        shutil.rmtree(join(anew, store))
    for drought in ({"every_days": 5}, {"every_days": 5, "window_days": 20}):
        other = declared.model_copy(update={"drought": {"base": BASE, "min_years": 3, **drought}})
        write_drought(other, url, client)
        write_regions(other, url, client)
    write_drought(other, anew, client)
    write_regions(other, anew, client)
    for store in ("drought.zarr", regions.STORE):
        changed, expected = (somo.publish.reader.open_zarr(join(root, store)).load() for root in (url, anew))
        xr.testing.assert_identical(changed, expected)


def shards(folder, separator):
    """Bytes of the large arrays' shards on one side, by name and place."""
    objects = {}
    for name in ("soil_moisture", "drought_area_share"):
        paths = (folder / name).glob("c.*") if separator == "." else (folder / name / "c").rglob("*")
        for path in paths:
            if path.is_file():
                place = path.relative_to(folder / name).as_posix().replace("/", ".")
                objects[name, place] = path.read_bytes()
    return objects


def test_stretches_end_with_their_block():
    days = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1], bool)
    assert [(s.start, s.stop) for s in runs(days, 4)] == [(0, 2), (3, 4), (4, 6), (8, 9)]
    assert list(runs(np.zeros(5, bool), 4)) == []


def test_the_group_reads_with_plain_xarray(version_url):
    ds = xr.open_zarr(join(version_url, regions.STORE), chunks=None, decode_coords="all")
    july = ds["soil_moisture"].sel(region=ITALY, time="2011-07").isel(depth=0)
    assert july.sizes == {"time": 31}
    assert 0.1 < float(july.mean()) < 0.4
    assert pd.Timestamp(ds["window"].values[0]) == pd.Timestamp("2010-01-30")
    assert ds.attrs["base_years"] == 3


def test_the_recipe_for_other_outlines_gives_their_means(version_url, declared, tmp_path, monkeypatch):
    """As docs/reading.md has it, for a triangle and a box whose cells are found without shapely."""
    text = (Path(__file__).parents[3] / "docs/reading.md").read_text().split("## Countries")[1]
    (recipe,) = re.findall(r"```python\n(import json\n.*?)```", text, re.DOTALL)
    rings = {
        "box": [(6.5, 44.7), (6.9, 44.7), (6.9, 45.0), (6.5, 45.0)],
        "north-west": [(6.4, 44.6), (7.2, 45.2), (6.4, 45.2)],
    }
    features = [
        {
            "type": "Feature",
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        }
        for name, ring in rings.items()
    ]
    (tmp_path / "basins.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    monkeypatch.chdir(tmp_path)
    exec(recipe.replace("https://host/bucket/prefix/v1.0.0", version_url).replace('"2016"', '"2012"'), {})
    table = pd.read_csv(tmp_path / "basins.csv", index_col="time", parse_dates=True)
    maps = (
        somo.publish.reader.open_zarr(join(version_url, "soil_moisture.zarr"))["soil_moisture"]
        .isel(depth=0)
        .sel(time="2012")
    )
    lat, lon = maps["lat"], maps["lon"]
    inside = {
        "box": (lat > 44.7) & (lat < 45.0) & (lon > 6.5) & (lon < 6.9),
        "north-west": (lat - 44.6) / 0.6 > (lon - 6.4) / 0.8,
    }
    for name, cells in inside.items():
        weight = (maps.notnull() * np.cos(np.deg2rad(lat)) * cells).transpose(*maps.dims).values
        expected = (maps.fillna(0).values * weight).sum((1, 2)) / weight.sum((1, 2))
        np.testing.assert_allclose(table[name], expected, atol=1e-6)
