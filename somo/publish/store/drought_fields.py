"""What the drought group holds: names, units, how each field is packed."""

import numpy as np

from somo.publish.store import drought_index as drought
from somo.publish.store import maps as zarr

BY_WINDOW = ("anomaly", "percentile", "drought_class")
BY_SEASON = ("climatology_mean", "climatology_std")
PROBABILITIES = tuple(f"probability_d{number}" for number in range(len(drought.CLASS_PERCENT)))
"""Fields by window of a version that knows its uncertainty."""
STEPS = {
    **dict.fromkeys(PROBABILITIES, 1e-3),
    "anomaly": 1e-3,
    "percentile": 1e-2,
    "drought_class": 1.0,
    "climatology_mean": zarr.STEP,
    "climatology_std": zarr.STEP,
}
_DESCRIBED: dict[str, dict[str, object]] = {
    "anomaly": {
        "long_name": "standardised anomaly of soil moisture averaged over the window",
        "units": "1",
    },
    "percentile": {
        "long_name": "percentile of soil moisture averaged over the window among the base period's windows",
        "units": "percent",
    },
    "drought_class": {
        "long_name": "drought class of the percentile",
        "units": "1",
        "flag_values": np.arange(6, dtype="int16"),
        "flag_meanings": "none D0 D1 D2 D3 D4",
        "comment": "percentile at most 30 (D0), 20 (D1), 10 (D2), 5 (D3), 2 (D4)",
    },
    "climatology_mean": {
        "long_name": "mean over the base period of soil moisture averaged over the window",
        "units": "m3 m-3",
    },
    "climatology_std": {
        "long_name": "standard deviation between the base period's years of soil moisture averaged over the window",
        "units": "m3 m-3",
    },
    **{
        name: {
            "long_name": f"probability that the window is in class {name[-2:].upper()} or a drier one",
            "units": "1",
            "comment": (
                "From the mean of the daily uncertainties of the window, times the share of it that is left in a "
                "window's deviation from the cell's mean of many years (anomaly_share of soil_moisture_uncertainty)"
            ),
        }
        for name in PROBABILITIES
    },
}
# The day of a window is its last one: what the other stores say of their days would be false here.
TIME_WORDS = {
    "long_name": "last day of the window",
    "comment": "The stamp is 00:00 UTC of the window's last day; values stand for the UTC days within time_bnds.",
}
FIELDS = {name: {**about, "coverage_content_type": "modelResult"} for name, about in _DESCRIBED.items()}
"""Attributes of every field."""
