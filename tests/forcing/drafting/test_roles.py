"""Which features a provider's file is taken for."""

import numpy as np
import pytest
import rasterio
import xarray as xr

from flows.environment import read_providers
from somo.forcing.drafting.cells import draft_grid
from somo.forcing.drafting.roles import static_likes
from somo.forcing.drafting.sources import fields_at
from somo.forcing.drafting.tables import static_tables

CENTRES = np.round(50.95 - 0.1 * np.arange(5), 6), np.round(11.05 + 0.1 * np.arange(6), 6)


def likes_at(path):
    """The providers' tables of the only field of a file."""
    (source,) = fields_at(str(path))
    return static_likes(source.field, source.url, read_providers())


def write_tiff(path):
    cells = rasterio.transform.from_origin(11.0, 51.0, 0.1, 0.1)
    profile = {"driver": "GTiff", "dtype": "int16", "count": 1, "crs": "EPSG:4326", "transform": cells}
    with rasterio.open(path, "w", **profile, width=6, height=5) as file:
        file.write(np.full((5, 6), 300, np.int16), 1)


@pytest.mark.parametrize("feature", ["sand", "silt", "clay"])
def test_a_file_of_one_feature_is_that_feature_alone(tmp_path, feature):
    path = tmp_path / f"{feature}_0-5cm_mean_1000.tif"
    write_tiff(path)
    assert likes_at(path) == [f"soilgrids.{feature}"]


def test_depths_of_one_texture_are_features_of_their_own(tmp_path):
    for depth in ("0-5cm", "60-100cm"):
        write_tiff(tmp_path / f"sand_{depth}_mean_1000.tif")
    grid = draft_grid({"kind": "regular", "lat": CENTRES[0].tolist(), "lon": CENTRES[1].tolist()}, None, None)
    lines = list(static_tables(list(fields_at(str(tmp_path))), grid, read_providers()))
    assert [line for line in lines if line.startswith("[")] == ["[static.sand_0_5cm]", "[static.sand_60_100cm]"]


def test_a_map_of_one_year_is_static_and_a_series_is_left_out(tmp_path):
    axes = {
        name: (name, values, {"units": f"degrees_{unit}"})
        for name, values, unit in zip(("lat", "lon"), CENTRES, ("north", "east"), strict=True)
    }
    for name, days in (("forest", 1), ("skt", 5)):
        times = np.datetime64("2020-01-01") + np.arange(days).astype("m8[D]")
        values = np.full((days, 5, 6), 0.5, "float32")
        ds = xr.Dataset({name: (("time", "lat", "lon"), values)}, {**axes, "time": times.astype("M8[ns]")})
        ds.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
    grid = draft_grid({"kind": "regular", "lat": CENTRES[0].tolist(), "lon": CENTRES[1].tolist()}, None, None)
    lines = list(static_tables(list(fields_at(str(tmp_path))), grid, read_providers()))
    assert "[static.forest]" in lines and "[static.skt]" not in lines
    assert "# Left out, as they change with time and static features do not: skt." in lines


def test_a_file_of_classes_is_all_features_of_its_provider(tmp_path):
    path = tmp_path / "C3S-LC-L4-LCCS-Map-300m-P1Y-2020-v2.1.1.nc"
    axes = {
        name: (name, values, {"units": f"degrees_{unit}"})
        for name, values, unit in zip(("lat", "lon"), CENTRES, ("north", "east"), strict=True)
    }
    codes = xr.Dataset({"lccs_class": (("lat", "lon"), np.full((5, 6), 50, np.uint8))}, axes)
    codes.to_netcdf(path, engine="h5netcdf")
    features = ("forest", "short_vegetation", "bare", "urban", "water")
    assert likes_at(path) == [f"esa-cci-landcover.{name}" for name in features]
