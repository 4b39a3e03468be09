"""A `[drought]` table that is changed after its drought was published: status tells, and the next run lays it anew."""

import numpy as np
import xarray as xr

import somo.publish.reader
from flows.stages import publish
from flows.status import missing_drought
from somo.publish.drought_netcdf import drought_url
from somo.publish.store import drought as drought_store
from somo.publish.store import series
from somo.storage.objects import join
from tests.publish import made

YEARS = [2010, 2011, 2012]
SPAN = {"start": "2010-01-01", "end": "2012-12-31"}
DECLARED = ["windows of drought as [drought] declares them"]


def missing(declared, version_url):
    return missing_drought(declared, version_url, series.visible(f"{version_url}/soil_moisture.zarr"), YEARS)


def window_days(version_url, declared, year):
    """Lengths in days of the windows in a yearly file."""
    with xr.open_dataset(drought_url(version_url, declared.name, year), engine="h5netcdf") as ds:
        bounds = ds["time_bnds"].values
    return set(((bounds[:, 1] - bounds[:, 0]) / np.timedelta64(1, "D")).astype(int))


def test_a_changed_table_is_missing_until_it_is_published_everywhere(tmp_path, client):
    too_few_years = made.product(**SPAN, drought={"min_years": 10})
    version_url = made.write_store(too_few_years, str(tmp_path))
    assert missing(too_few_years, version_url) == []
    for days in (30, 45):
        declared = made.product(**SPAN, drought={"min_years": 3, "every_days": 60, "window_days": days})
        assert missing(declared, version_url) == DECLARED
        publish.write_drought(declared, version_url, client)
        publish.write_drought_netcdf(declared, version_url, client)
        assert missing(declared, version_url) == []
        for year in YEARS:
            assert window_days(version_url, declared, year) == {days}
    base = {"base": {"start": "2010-01-01", "end": "2012-12-30"}}
    assert missing(made.product(**SPAN, drought={**declared.drought.model_dump(), **base}), version_url) == DECLARED
    longer = made.product(start="2010-01-01", end="2013-03-31", drought=declared.drought.model_dump())
    made.write_store(longer, str(tmp_path))
    assert missing(longer, version_url) == DECLARED


def test_windows_of_an_earlier_cut_are_laid_anew_with_the_next_days(tmp_path, client, monkeypatch):
    """Both sides hold shards of the former shape, the tile that is all sea too; readers get values of the new one."""
    declared = made.product("2010-01-01", None, drought={"base": SPAN, "min_years": 3}, **made.TWO_TILES)

    def publish_days(folder, days):
        url = made.write_store(declared, str(tmp_path / folder), days=days)
        publish.write_drought(declared, url, client)
        return somo.publish.reader.open_zarr(join(url, drought_store.STORE)).load(), url

    monkeypatch.setattr(drought_store, "BLOCK_WINDOWS", 144)
    for days in (1100, 1120):
        publish_days("recut", days)
    monkeypatch.setattr(drought_store, "BLOCK_WINDOWS", 36)
    former, url = publish_days("recut", 1120)
    assert not drought_store.is_laid_out(url, declared, (2, 4))  # nothing is written for the cut alone
    assert former["anomaly"].isel(lat=0, lon=0).isnull().all()
    for days in (1140, 1160):
        recut, url = publish_days("recut", days)
        assert drought_store.is_laid_out(url, declared, (2, 4))
        xr.testing.assert_identical(recut, publish_days(f"anew{days}", days)[0])
