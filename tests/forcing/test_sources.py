"""Which files exist, and which must."""

import datetime as dt
import unicodedata
import zipfile

import pytest

from somo.forcing.listing import find_urls
from somo.forcing.sources import ForcingError, declares, find_files, needed_days
from somo.product.inputs import Source
from somo.product.patterns import Pattern

FIRST, LAST, TODAY = dt.date(2003, 11, 5), dt.date(2004, 2, 3), dt.date(2010, 6, 1)


def _source(folder, pattern="t_{year}_{month}.nc", **changes):
    return Source.model_validate({"url": f"{folder}/{pattern}", "variable": "t", "units": "K", **changes})


def _names(files):
    return [file.url.rsplit("/", 1)[1] for file in files]


def test_monthly_files_cover_the_days_in_order(tmp_path):
    for name in ("2003_10", "2003_11", "2003_12", "2004_01", "2004_02", "2004_03"):
        (tmp_path / f"t_{name}.nc").write_bytes(b"x")
    files = find_files("air_temperature", _source(tmp_path), "home", FIRST, LAST, TODAY)
    assert _names(files) == ["t_2003_11.nc", "t_2003_12.nc", "t_2004_01.nc", "t_2004_02.nc"]
    assert all(file.fingerprint.startswith("1-") for file in files)


def test_a_missing_file_is_named_with_what_to_do(tmp_path):
    for year in (2003, 2005):
        (tmp_path / f"t_{year}.nc").write_bytes(b"x")
    source = _source(tmp_path, "t_{year}.nc")
    with pytest.raises(ForcingError, match=r"t_2004\.nc: no such file; forcing\.air_temperature .*spin-up included"):
        find_files("air_temperature", source, "home", FIRST, dt.date(2005, 1, 1), TODAY)


def test_an_open_period_ends_with_the_last_file_but_allows_no_hole(tmp_path):
    source = _source(tmp_path, "t_{year}.nc")
    for year in (2003, 2004):
        (tmp_path / f"t_{year}.nc").write_bytes(b"x")
    assert _names(find_files("air_temperature", source, "home", FIRST, None, TODAY)) == ["t_2003.nc", "t_2004.nc"]
    (tmp_path / "t_2006.nc").write_bytes(b"x")
    with pytest.raises(ForcingError, match=r"t_2005\.nc: no such file"):
        find_files("air_temperature", source, "home", FIRST, None, TODAY)


def test_without_any_file_the_first_is_named(tmp_path):
    with pytest.raises(ForcingError, match=r"t_2003\.nc: no such file"):
        find_files("air_temperature", _source(tmp_path / "nowhere", "t_{year}.nc"), "home", FIRST, None, TODAY)


def test_the_domain_and_one_file_for_all_years(tmp_path):
    (tmp_path / "home.nc").write_bytes(b"x")
    files = find_files("air_temperature", _source(tmp_path, "{domain}.nc"), "home", FIRST, LAST, TODAY)
    assert _names(files) == ["home.nc"]


def test_an_accumulation_takes_the_file_after_the_last_day_where_it_exists(tmp_path):
    for year in (2003, 2004):
        (tmp_path / f"t_{year}.nc").write_bytes(b"x")
    accumulated = _source(tmp_path, "t_{year}.nc", frequency="sub-daily", kind="accumulated")
    last = dt.date(2003, 12, 31)
    assert _names(find_files("precipitation", accumulated, "home", FIRST, last, TODAY)) == ["t_2003.nc", "t_2004.nc"]
    assert _names(find_files("t", _source(tmp_path, "t_{year}.nc"), "home", FIRST, last, TODAY)) == ["t_2003.nc"]


def test_only_urls_of_the_pattern_are_declared():
    source = Source(url="s3://b/{domain}/t_{year}{month}.nc", variable="t", units="K")
    assert declares(source, "home", "s3://b/home/t_200312.nc")
    assert not declares(source, "home", "s3://b/us/t_200312.nc")
    assert not declares(source, "home", "s3://b/home/t_200312xnc")
    assert not declares(source, "home", "file:///etc/passwd")


@pytest.mark.parametrize(("on_disk", "declared"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFC", "NFC")])
def test_names_whose_letters_are_written_as_one_character_or_two_are_the_same(tmp_path, on_disk, declared):
    name = unicodedata.normalize(on_disk, "wärme_2003.nc")
    (tmp_path / name).write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr(f"{unicodedata.normalize(on_disk, 'Täglich')}/{name}", b"x")
    for pattern in ("wärme_2003.nc", "wär*.nc", "wärme_????.nc"):
        pattern = unicodedata.normalize(declared, pattern)
        for place in (f"{tmp_path}/{pattern}", f"zip://T*glich/{pattern}::{tmp_path}/all.zip"):
            ((found,),) = find_urls([place], "t2m").values()
            assert found.url.partition("::")[0].endswith(name)
            assert Pattern(place).matches(found.url, "home")


def test_needed_days_include_spin_up_and_training(sources):
    product = sources.product(
        "2003-02-01", "2003-12-31", training={"period": {"start": "2002-06-01", "end": "2004-03-01"}}
    )
    assert needed_days(product) == (dt.date(2002, 5, 1), dt.date(2004, 3, 1))
    assert needed_days(sources.product("2003-02-01", None)) == (dt.date(2003, 1, 1), None)


def test_hours_whose_stamps_nobody_declared_take_the_file_after_the_last_day_too(tmp_path):
    """By their bounds, means may be stamped with the end of their hour: the last one lies in the next file."""
    for year in (2003, 2004):
        (tmp_path / f"t_{year}.nc").write_bytes(b"x")
    last = dt.date(2003, 12, 31)
    for declared, files in (({}, 2), ({"kind": "mean"}, 2), ({"kind": "mean", "stamp": "start"}, 1)):
        source = _source(tmp_path, "t_{year}.nc", frequency="sub-daily", **declared)
        assert len(find_files("t", source, "home", FIRST, last, TODAY)) == files, declared
