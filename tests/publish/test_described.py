"""Whom a product thanks and by which words it is found follow from its declaration."""

import numpy as np
import pandas as pd

from somo.core.grid import Grid
from somo.publish import attributes, images, items
from tests.publish import made

TABLE = {"name": "own", "url": "own.csv", "format": "table"}
ISMN = {"name": "ISMN", "url": "ismn.zip"}


def attrs_of(**changes):
    """Attributes of a yearly file, as published."""
    product = made.product(**changes)
    grid: Grid = made.grid_of(product)
    return attributes.file_attrs(product, grid, pd.date_range("2016-01-01", "2016-12-31"), product.layers)


def test_only_archives_that_are_learnt_from_are_thanked():
    own = attrs_of(insitu=[TABLE, {**ISMN, "role": "independent"}])
    assert own["acknowledgement"] == "In-situ data: stations of the makers of this product."
    both = attrs_of(insitu=[ISMN, TABLE])["acknowledgement"]
    assert "International Soil Moisture Network" in both and "stations of the makers" in both
    thanks = {"acknowledgement": "We thank the farmers."}
    assert attrs_of(insitu=[TABLE], publication=thanks)["acknowledgement"] == "We thank the farmers."


def test_drought_is_a_keyword_only_of_products_with_years_enough():
    assert "drought" not in attrs_of()["keywords"] and "Europe" not in attrs_of()["keywords"]
    assert "drought" in attrs_of(start="2003-01-01")["keywords"]
    assert "drought" in attrs_of(start="2003-01-01", end=None)["keywords"]
    assert attrs_of(publication={"keywords": ["soil", "Chile"]})["keywords"] == "soil, Chile"


def test_the_project_is_the_declared_one_or_the_product():
    assert attrs_of()["project"] == "Made"
    assert attrs_of(publication={"project": "Soils"})["project"] == "Soils"


def test_the_network_is_the_declared_one():
    """A product of ordinary LSTMs must not be described as one of entity-aware ones."""
    assert attrs_of()["source"].startswith("EA-LSTM ensemble")
    ordinary = {"network": {"kind": "lstm"}}
    texts = attrs_of(**ordinary)["source"], attrs_of(**ordinary)["summary"]
    lineage = items.processing(made.product(**ordinary))["processing:lineage"]
    assert all("LSTM" in text and "EA-LSTM" not in text for text in (*texts, lineage))


def test_images_are_made_of_cells_that_touch():
    """Equally distant rows with gaps between them are no pixels of one step."""
    touching = Grid(np.array([50.1, 50.0]), np.array([10.1, 10.2]), 0.1)
    apart = Grid(np.array([50.1, 49.9]), np.array([10.1, 10.2]), 0.1)
    assert images.is_regular(touching) and not images.is_regular(apart)
    assert images.is_regular(Grid(np.float32([50.1, 50.0]).astype(float), np.array([10.1]), 0.1))


def test_a_share_of_the_uncertainty_is_spoken_of_where_it_stands():
    """The stores hold it as an attribute of all layers; a yearly file is of one layer and without drought."""
    product = made.product()
    assert "anomaly_share" in attributes.store_uncertainty_attrs(product)["comment"]
    assert "anomaly_share" not in attributes.uncertainty_attrs(product, product.layers[0])["comment"]
