"""Whom a product thanks and by which words it is found follow from its declaration."""

import pandas as pd

from somo.core.grid import Grid
from somo.publish import attributes
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
