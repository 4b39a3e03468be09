"""The stores of the European product are what is checked in: a change of the template is a change for every reader.

After a change that is meant: `python -m tests.publish.store.test_template`, and a line in the changelog for readers.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

import flows
from flows.environment import load_product
from somo.core.grid import Grid
from somo.core.status import FINAL
from somo.product.declaration import Product
from somo.product.layout import Layout
from somo.publish.store import maps, series

EUROPE = Path(flows.__file__).parent / "products" / "europe.toml"
CHECKED_IN = Path(__file__).with_name("europe_template.json")
DAYS = 400


def metadata_of(product: Product, folder: Path) -> dict[str, dict]:
    """Metadata of both stores as readers get it, of 400 final days with uncertainty."""
    area = product.grid
    grid = Grid.regular(area.west, area.east, area.south, area.north, area.step_deg)
    layout = Layout.of(product, grid.shape)
    shape = (layout.layers, *grid.shape)
    status = np.full(DAYS, FINAL, np.int8)
    inside, index = np.ones(shape, np.int8), np.zeros(shape, np.float32)
    maps_url, series_url = str(folder / "v1" / maps.STORE), str(folder / "v1" / series.STORE)
    maps.publish(maps_url, maps.template(product, grid, status, inside, "made-by-these-models", index), layout)
    maps.publish(series_url, *series.template(product, maps_url))
    return {
        name: json.loads(Path(url, "zarr.json").read_text())
        for name, url in (("maps", maps_url), ("series", series_url))
    }


def european_product() -> Product:
    """The shipped declaration; where its sources lie does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        for setting in ("SOMO_FORCING", "SOMO_ISMN", "SOMO_COMPARE"):
            patch.setenv(setting, "/sources")
        return load_product(EUROPE)


def test_the_declaration_still_makes_the_template(tmp_path):
    assert metadata_of(european_product(), tmp_path) == json.loads(CHECKED_IN.read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        CHECKED_IN.write_text(json.dumps(metadata_of(european_product(), Path(scratch)), indent=1) + "\n")
