"""Each physical quantity once: name, CF standard name, units and the range outside which a value is an error."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Quantity:
    """A physical quantity as every room knows it.

    Attributes
    ----------
    name : name of the variable in every SoMo Dataset
    standard_name : CF standard name
    units : units after reading, in pint and UDUNITS notation alike
    long_name : name for people
    valid_min, valid_max : values outside are refused as a wrong unit or a broken file
    climate_min, climate_max : no region's mean over a month or more lies outside; a file without units is judged by it
    """

    name: str
    standard_name: str
    units: str
    long_name: str
    valid_min: float
    valid_max: float
    climate_min: float
    climate_max: float

    def attrs(self) -> dict[str, str]:
        """CF attributes of an array of this quantity."""
        return {"standard_name": self.standard_name, "long_name": self.long_name, "units": self.units}


_SHORTWAVE_UP, _LONGWAVE_UP = "surface_upwelling_shortwave_flux_in_air", "surface_upwelling_longwave_flux_in_air"
# The numbers are valid_min, valid_max, climate_min and climate_max.
# mean rain: the driest deserts have 0.005 mm a day and would be refused in a file without units, the wettest places 33
_FORCING = (
    Quantity("air_temperature", "air_temperature", "K", "2 m air temperature", 170.0, 340.0, 210.0, 320.0),
    Quantity("skin_temperature", "surface_temperature", "K", "land surface temperature", 170.0, 370.0, 210.0, 330.0),
    Quantity("precipitation", "lwe_precipitation_rate", "mm d-1", "precipitation", -0.5, 2000.0, 0.02, 60.0),
    Quantity(
        "net_radiation", "surface_net_downward_radiative_flux", "W m-2", "net radiation", -500.0, 1000.0, -120.0, 350.0
    ),
    Quantity(
        "net_shortwave", "surface_net_downward_shortwave_flux", "W m-2", "net shortwave", -20.0, 1000.0, 1.0, 450.0
    ),
    Quantity(
        "net_longwave", "surface_net_downward_longwave_flux", "W m-2", "net longwave", -500.0, 300.0, -250.0, 30.0
    ),
    Quantity(
        "downward_shortwave", "surface_downwelling_shortwave_flux_in_air", "W m-2", "shortwave in", -20.0, 1000.0,
        1.0, 500.0,
    ),
    Quantity(
        "downward_longwave", "surface_downwelling_longwave_flux_in_air", "W m-2", "longwave in", 0.0, 1000.0,
        60.0, 550.0,
    ),
    Quantity("upward_shortwave", _SHORTWAVE_UP, "W m-2", "shortwave out", -20.0, 1000.0, 0.1, 400.0),
    Quantity("upward_longwave", _LONGWAVE_UP, "W m-2", "longwave out", 0.0, 1200.0, 90.0, 700.0),
    Quantity(
        "specific_humidity", "specific_humidity", "kg kg-1", "2 m specific humidity", -0.001, 0.1, 5e-5, 0.03
    ),
)  # fmt: skip

SOIL_MOISTURE = Quantity(
    "soil_moisture", "volume_fraction_of_condensed_water_in_soil", "m3 m-3", "volumetric soil moisture", 0.0, 1.0,
    0.005, 0.9,
)  # fmt: skip

FORCING: dict[str, Quantity] = {q.name: q for q in _FORCING} | {
    # another model's, as reference or input; packed zeros come back a little below zero
    SOIL_MOISTURE.name: replace(SOIL_MOISTURE, valid_min=-0.01)
}
