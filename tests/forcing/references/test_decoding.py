"""Valid ranges in packed or unpacked units, as the NetCDF Users Guide tells them apart, by hand."""

import numpy as np
import pytest

from somo.forcing.references.decoding import decode, decoding_attributes

CASES = {
    "packed, of the stored type": (
        np.array([-10, 5, 40], "i2"), {"scale_factor": np.float32(0.5), "valid_range": np.array([0, 30], "i2")},
        [np.nan, 2.5, np.nan],
    ),
    "unpacked, of the scale's type": (
        np.array([-10, 5, 40], "i2"), {"scale_factor": np.float32(0.5), "valid_range": np.array([0, 15], "f4")},
        [np.nan, 2.5, np.nan],
    ),
    "packed, since the scale is no wider than the stored floats": (
        np.array([-10, 26, 40], "f4"), {"scale_factor": np.float32(10), "valid_range": np.array([0, 30], "f4")},
        [np.nan, 260.0, np.nan],
    ),
    "unpacked, since the scale is wider than the stored floats": (
        np.array([-10, 26, 40], "f4"), {"scale_factor": 10.0, "valid_min": 0.0, "valid_max": 300.0},
        [np.nan, 260.0, np.nan],
    ),
    "no rain, which unpacks to -4.5e-13, beside a lowest value of 0": (
        np.array([-32767, 0], "i2"), {"scale_factor": 0.1, "add_offset": 3276.7, "valid_min": 0.0}, [0.0, 3276.7],
    ),
    "bytes meant without a sign": (
        np.array([-1, 100, -56], "i1"),
        {"_Unsigned": "true", "scale_factor": 0.5, "valid_range": np.array([0, -2], "i1")}, [np.nan, 50.0, 100.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_valid_ranges_by_hand(case):
    raw, attrs, expected = CASES[case]
    np.testing.assert_allclose(decode(raw, decoding_attributes(attrs)), expected, rtol=1e-6, atol=1e-9)
