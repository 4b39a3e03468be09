"""Each quantity once, with a range that holds its values."""

from somo.core.variables import FORCING, SOIL_MOISTURE


def test_every_quantity_is_complete() -> None:
    for name, quantity in FORCING.items():
        assert name == quantity.name and quantity.valid_min < quantity.valid_max
        assert set(quantity.attrs()) == {"standard_name", "long_name", "units"}
    assert SOIL_MOISTURE.standard_name == "volume_fraction_of_condensed_water_in_soil"
