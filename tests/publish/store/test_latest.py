"""The latest day alone, as readers find it."""

import somo.publish.reader
from somo.publish.store import latest
from somo.storage.objects import join
from tests.publish import made


def test_the_latest_day_is_that_of_the_maps_and_names_nothing_that_is_not_beside_it(tmp_path):
    declared = made.product()
    version_url = made.write_store(declared, str(tmp_path), days=70, provisional=3, uncertain=True)
    latest.publish_latest(declared, version_url)
    day = somo.publish.reader.open_zarr(join(version_url, latest.STORE))
    maps = somo.publish.reader.open_zarr(join(version_url, "soil_moisture.zarr"))
    for field in ("soil_moisture", "soil_moisture_uncertainty", "status"):
        assert day[field].equals(maps[field].isel(time=[-1]))
    named = day["soil_moisture"].attrs["ancillary_variables"].split()
    assert named == ["soil_moisture_uncertainty", "status"]
    assert day.attrs["time_coverage_start"] == "2016-02-27T00:00:00Z"
