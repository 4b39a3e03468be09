"""Frozen ground, by hand."""

import numpy as np

from somo.predict.frozen import is_frozen
from somo.product.method import Frozen


def test_three_days_below_the_limit_freeze_the_ground_and_one_at_it_does_not():
    """Below 0 degrees C on days 1 to 4 and 6: frozen on days 3 and 4. At 273.15 K a day is not below."""
    kelvin = np.array([272, 272, 272, 272, 273.15, 272, np.nan], np.float32)[:, None]
    assert is_frozen(kelvin, Frozen(days=3))[:, 0].tolist() == [1, 1, 0, 0, 0]
    assert is_frozen(kelvin, Frozen(days=1, below_c=-1.5))[:, 0].tolist() == [0] * 7
    assert is_frozen(kelvin, Frozen(days=1, below_c=-1.0))[:, 0].tolist() == [1, 1, 1, 1, 0, 1, 0]
