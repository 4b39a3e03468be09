"""Folders of files become patterns: dates become fields, other numbers that differ `*`, and numbers alike stay."""

import pytest

from somo.forcing.drafting.names import patterns_in

NAMES = [
    (["t2m_2016.nc", "t2m_2017.nc"], "t2m_{year}.nc"),
    (["t2m_2016_01.nc", "t2m_2016_02.nc"], "t2m_{year}_{month}.nc"),
    (["2016/t_201601.nc", "2016/t_201602.nc"], "{year}/t_{year}{month}.nc"),
    (["2016183.nc", "2016184.nc"], "{year}{doy}.nc"),
    (["A.20160701-S000000-E235959.V07B.nc4", "A.20160702-S000000-E235959.V07B.nc4"],
     "A.{year}{month}{day}-S000000-E235959.V07B.nc4"),
    (["tas_20100101-20191231.nc", "tas_20200101-20291231.nc"], "tas_{year}{month}{day}-*.nc"),
    (["G.A20160701.0300.021.nc4", "G.A20160702.0600.021.nc4"], "G.A{year}{month}{day}.*.021.nc4"),
    (["ETOPO_2022_v1_60s.nc"], "ETOPO_2022_v1_60s.nc"),
    (["tile_1.tif", "tile_2.tif"], "tile_*.tif"),
]  # fmt: skip


@pytest.mark.parametrize(("names", "pattern"), NAMES)
def test_names_that_differ_in_dates_are_one_pattern(tmp_path, names, pattern):
    for name in [*names, "readme.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (group,) = patterns_in(str(tmp_path))
    assert group.url == f"{tmp_path}/{pattern}"
    assert (group.first, group.last) == (f"{tmp_path}/{min(names)}", f"{tmp_path}/{max(names)}")


def test_numbers_of_variables_and_depths_make_sources_of_their_own(tmp_path):
    for name in ("swvl1_2016_01", "swvl1_2016_02", "swvl2_2016_01", "swvl2_2016_02", "sand_0-5cm", "sand_60-100cm"):
        (tmp_path / f"{name}.nc").touch()
    assert [group.url.rpartition("/")[2] for group in patterns_in(str(tmp_path))] == [
        "sand_0-5cm.nc", "sand_60-100cm.nc", "swvl1_{year}_{month}.nc", "swvl2_{year}_{month}.nc"
    ]  # fmt: skip


def test_dates_give_way_where_a_file_holds_more_than_its_name_says(tmp_path):
    for name in ("tas_20100101-20191231.nc", "tas_20200101-20291231.nc"):
        (tmp_path / name).touch()
    (group,) = patterns_in(str(tmp_path))
    assert group.with_wildcards() == f"{tmp_path}/tas_*-*.nc"


def test_a_zarr_store_is_one_source_and_a_pattern_of_the_web_stays(tmp_path):
    (tmp_path / "a.zarr/t2m").mkdir(parents=True)
    (tmp_path / "a.zarr/t2m/0.0.0").touch()
    (tmp_path / "a.zarr/.zgroup").write_text('{"zarr_format": 2}')
    assert [group.url for group in patterns_in(str(tmp_path))] == [f"{tmp_path}/a.zarr"]
    url = "https://host/t2m_{year}.nc"
    assert [group.url for group in patterns_in(url)] == [url]
