import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import pearsonr

from somo.validate.published import open_published
from somo.validate.sections.intercomparison import (
    average,
    collocation_section,
    estimates_at,
    everywhere_section,
    independent_section,
    segment_cells,
)
from somo.validate.sections.seasons import maps_section, regions_section, seasonal_means
from somo.validate.sections.section import Impossible

LAYERS = ("layer1", "layer2", "layer3")


@pytest.fixture(scope="module")
def published(version):
    return open_published(version, LAYERS)


@pytest.fixture(scope="module")
def compared(published):
    generator = np.random.default_rng(0)

    def other(gain, noise, layers):
        fields = {}
        for k in layers:
            field = published.soil["soil_moisture"].isel(depth=k, drop=True).compute()
            fields[LAYERS[k]] = field * gain + generator.normal(0, noise, field.shape)
        return xr.Dataset(fields)

    return {"Near": other(1.0, 0.01, (0, 1, 2)), "Far": other(0.7, 0.05, (0, 1, 2)), "Surface": other(1.1, 0.02, (0,))}


@pytest.fixture(scope="module")
def stations(published):
    """Independent stations at two training cells and two others, measuring the published truth exactly."""
    used = sorted(published.targets["cell"].unique())[:2]
    land = published.soil["soil_moisture"][0, 0].notnull().values.ravel()
    free = np.setdiff1d(np.flatnonzero(land), published.targets["cell"])[:2]
    cells = np.array([*used, *free])
    parts = [published.at_cells(cells, k).to_dataframe("value").reset_index().assign(layer=k) for k in LAYERS]
    targets = pd.concat(parts).assign(domain="home", count=1)
    sensors = pd.DataFrame(
        {"network": "N", "station": [f"S{c}" for c in cells], "kept": True, "domain": "home", "cell": cells}
    )
    return targets, sensors, [int(c) for c in used], free


def test_cells_used_in_training_are_left_out_and_listed(published, compared, stations):
    targets, sensors, used, free = stations
    section = independent_section(published, "SoMo", compared, targets, sensors)
    assert section.findings["left_out"] == used
    assert set(section.table["cell"]) == set(free)
    found = section.findings["pearson_r"]
    assert found["layer1 SoMo"] == pytest.approx(1.0, abs=1e-6)
    assert found["layer1 SoMo"] > found["layer1 Near"] > found["layer1 Far"]
    assert "layer2 Surface" not in found


def test_the_caption_counts_the_stations_that_judge(published, compared, stations):
    """Two of four stations lie in cells that were learnt from; a fifth one, elsewhere, shares the number of a cell."""
    targets, sensors, _, free = stations
    elsewhere = sensors[sensors["cell"] == free[0]].assign(domain="us", station="far")
    section = independent_section(published, "SoMo", compared, targets, pd.concat([sensors, elsewhere]))
    assert "no network has seen (2 stations, 2 cells)" in section.caption


def test_scores_equal_a_direct_computation(published, compared, stations):
    targets, sensors, _, free = stations
    table = independent_section(published, "SoMo", compared, targets, sensors).table
    row, column = divmod(int(free[0]), published.grid.shape[1])
    truth = published.soil["soil_moisture"][1, :, row, column].values
    direct = pearsonr(truth, compared["Far"]["layer2"][:, row, column].values).statistic
    got = table[(table["layer"] == "layer2") & (table["model"] == "Far") & (table["cell"] == free[0])]
    assert got["pearson_r"].item() == pytest.approx(direct, abs=1e-10)


def test_stations_that_cannot_judge_are_told(published, compared, stations):
    targets, sensors, used, _ = stations
    few = targets[targets["time"] < targets["time"].min() + pd.Timedelta(days=29)]
    dropped = sensors.assign(kept=False, reason="too few valid days")
    for chosen, listed, told in (
        (targets[targets["cell"].isin(used)], sensors, "all 2 cells of the independent stations were used in training"),
        (few, sensors, "no cell of the independent stations has 30 measured days"),
        (targets.iloc[:0], dropped, r"no independent sensor measures in the predicted domain \(4 too few valid days\)"),
    ):
        with pytest.raises(Impossible, match=told):
            independent_section(published, "SoMo", compared, chosen, listed)


def test_products_without_common_days_are_told(published, compared):
    days = published.soil["time"].values
    early = {name: ds.where(ds["time"] < days[29]) for name, ds in compared.items()}
    with pytest.raises(Impossible, match="no land cell has 30 days on which this product and all others"):
        everywhere_section(published, "SoMo", {"Near": early["Near"]})
    with pytest.raises(Impossible, match="no cell has 30 days on which this product and two others"):
        collocation_section(published, "SoMo", early)


def test_one_land_cell_of_every_segment(published):
    cells, side = segment_cells(published, seed=0)
    land = published.soil["soil_moisture"][0, 0].notnull().values.ravel()
    assert side == 1
    assert sorted(cells) == np.flatnonzero(land).tolist()
    again, _ = segment_cells(published, seed=0)
    assert (cells == again).all()


def test_average_is_over_days_that_all_have():
    estimates = xr.DataArray([[[0.1, 0.1, 0.1]], [[0.3, 0.3, np.nan]]], dims=("model", "cell", "time"))
    assert average(estimates)[0] == pytest.approx([0.2, 0.2, np.nan], nan_ok=True)


def test_everywhere_ranks_by_error(published, compared):
    section = everywhere_section(published, "SoMo", compared)
    found = section.findings["pearson_r"]
    assert found["layer3 SoMo"] > found["layer3 Far"]
    assert section.findings["cells"] == 74


def test_triplets_of_this_product_and_two_others(published, compared):
    table = collocation_section(published, "SoMo", compared).table
    assert set(table[table["layer"] == "layer1"]["triplet"]) == {"Near and Far", "Near and Surface", "Far and Surface"}
    assert set(table[table["layer"] == "layer2"]["triplet"]) == {"Near and Far"}
    with pytest.raises(Impossible, match="no layer for which two other products stand"):
        collocation_section(published, "SoMo", {"Near": compared["Near"]})


def test_series_of_other_products_are_those_of_the_cell(published, compared):
    found = estimates_at(published, "SoMo", compared, np.array([45]))["layer3"]
    row, column = divmod(45, published.grid.shape[1])
    assert found["model"].values.tolist() == ["SoMo", "Near", "Far"]
    assert found.sel(model="Near")[0].values == pytest.approx(compared["Near"]["layer3"][:, row, column].values)


def test_maps_and_regions_of_the_season(published, compared):
    products = {"SoMo": published.soil["soil_moisture"].isel(depth=0, drop=True), "Near": compared["Near"]["layer1"]}
    section = maps_section(products, published.grid, "layer1")
    by_product = {(r["product"], r["of"]): r["r"] for r in section.findings["pattern_r"]}
    assert by_product["SoMo", "mean"] == pytest.approx(1)
    assert by_product["Near", "z-score"] > 0.7
    first = int(seasonal_means(products["SoMo"], "SON")["year"].values[0])
    assert f"SON {first} less the mean" in maps_section(products, published.grid, "layer1", "SON", first).caption
    seasons = seasonal_means(published.soil["soil_moisture"]).compute()
    table = regions_section(seasons, published.grid, LAYERS).table
    assert {"France", "Alps", "Mid-Europe"} <= set(table["region"])
    assert table.groupby(["region", "layer"])["anomaly"].mean().abs().max() < 1e-6
    others = {"Near": seasonal_means(products["Near"]).compute()}
    beside = regions_section(seasons, published.grid, LAYERS, others=others)
    assert "Dashed: other products at layer1" in beside.caption
    by_product = beside.table.pivot_table(index=["region", "year"], columns="product", values="anomaly")
    assert by_product["Near"].notna().all()
    pd.testing.assert_frame_equal(beside.table[beside.table["product"] == "this product"], table)


def test_too_short_a_version_has_no_seasons(published):
    winter = published.soil["soil_moisture"].isel(time=slice(0, 50))
    with pytest.raises(Impossible, match="the published days hold no whole JJA"):
        maps_section({"SoMo": winter.isel(depth=0, drop=True)}, published.grid, "layer1")
    with pytest.raises(Impossible, match="no PRUDENCE region holds a cell"):
        regions_section(seasonal_means(winter).compute(), published.grid, LAYERS)
