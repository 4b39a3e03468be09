"""Attributes of published files: CF-1.11 for every variable, ACDD-1.3 for the file."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.status import FINAL, PROVISIONAL
from somo.core.variables import SOIL_MOISTURE
from somo.product.declaration import Product
from somo.product.inputs import Layer, Period
from somo.product.level import interval_subject, level_sentence
from somo.product.method import Frozen

CONVENTIONS = "CF-1.11, ACDD-1.3"
VOCABULARY = "CF Standard Name Table v93"
# A version with a value outside of this range, m3 m-3, fails its checks, so that its files may declare it.
VALID = SOIL_MOISTURE.valid_min, SOIL_MOISTURE.valid_max

DAY = "The stamp is 00:00 UTC; the value stands for the UTC day from then to 24:00 UTC, as time_bnds says."
STANDARD_NAME = SOIL_MOISTURE.standard_name
UNCERTAINTY = "soil_moisture_uncertainty"
DISSIMILARITY = "dissimilarity"
# Whom each kind of archive wants thanked.
ARCHIVES = {
    "ismn": "International Soil Moisture Network and its contributing networks",
    "cosmos": "COSMOS-Europe and its contributing stations",
    "table": "stations of the makers of this product",
}
LEVEL = "soil_moisture_level"
"""Global attribute that says whose level and spread the values have."""

TIME = {
    "standard_name": "time",
    "long_name": "day",
    "comment": DAY,
    "axis": "T",
    "bounds": "time_bnds",
    "units_metadata": "leap_seconds: none",
}
LATITUDE = {
    "standard_name": "latitude",
    "long_name": "latitude of cell centre",
    "units": "degrees_north",
    "axis": "Y",
    "bounds": "lat_bnds",
}
LONGITUDE = {
    "standard_name": "longitude",
    "long_name": "longitude of cell centre",
    "units": "degrees_east",
    "axis": "X",
    "bounds": "lon_bnds",
}
# CDO takes a depth for one below the sea unless its long name is this one.
DEPTH = {
    "standard_name": "depth",
    "long_name": "depth_below_land",
    "comment": "middle of the layer, metres below the surface; its top and bottom are the bounds",
    "units": "m",
    "positive": "down",
    "axis": "Z",
    "bounds": "depth_bnds",
}
CRS = {
    "grid_mapping_name": "latitude_longitude",
    "long_name": "WGS 84 geographic coordinates",
    "geographic_crs_name": "WGS 84",
    "horizontal_datum_name": "World Geodetic System 1984",
    "reference_ellipsoid_name": "WGS 84",
    "prime_meridian_name": "Greenwich",
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
    "longitude_of_prime_meridian": 0.0,
    # GDAL, and QGIS with it, takes the reference system from this text.
    "crs_wkt": (
        'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563,'
        'LENGTHUNIT["metre",1]]],PRIMEM["Greenwich",0,ANGLEUNIT["degree",0.0174532925199433]],CS[ellipsoidal,2],'
        'AXIS["geodetic latitude (Lat)",north,ORDER[1],ANGLEUNIT["degree",0.0174532925199433]],'
        'AXIS["geodetic longitude (Lon)",east,ORDER[2],ANGLEUNIT["degree",0.0174532925199433]],ID["EPSG",4326]]'
    ),
}
STATUS = {
    "standard_name": f"{STANDARD_NAME} status_flag",
    "long_name": "whether the day may still change with its forcing",
    "flag_values": np.array([FINAL, PROVISIONAL], "int8"),
    "flag_meanings": "final provisional",
}
APPLICABILITY = {
    "standard_name": "quality_flag",
    "long_name": "whether the cell resembles the cells the model was trained on",
    "flag_values": np.array([0, 1], "int8"),
    "flag_meanings": "outside_area_of_applicability inside_area_of_applicability",
    "units": "1",
}


def frozen_attrs(declared: Frozen) -> dict[str, str | np.ndarray]:
    """Attributes of the flag of frozen ground."""
    return {
        "standard_name": "quality_flag",
        "long_name": "whether the ground counts as frozen",
        "flag_values": np.array([0, 1], "int8"),
        "flag_meanings": "not_frozen frozen",
        "units": "1",
        "grid_mapping": "crs",
        "comment": (
            f"1 where the daily mean of {declared.variable} was below {declared.below_c:g} degrees C on each of the "
            f"last {declared.days} days. Measurements that their archive flags as frozen are no part of what "
            "the model learnt from: take its values on such days with care."
        ),
    }


UNCERTAINTY_LONG_NAME = "predictive standard uncertainty of soil moisture"
DISSIMILARITY_ATTRS = {
    "long_name": "dissimilarity of the cell to the cells the model was trained on",
    "units": "1",
    "comment": (
        "Distance to the nearest training cell in the space of the importance-weighted features over the mean distance "
        "of training cells: 0 at a training cell, 1 as far as two of them are apart"
    ),
    "references": "Meyer & Pebesma (2021), Methods in Ecology and Evolution 12, 1620",
}


def store_uncertainty_attrs(product: Product) -> dict[str, str]:
    """Attributes of the predictive standard uncertainty of all layers, m3 m-3."""
    return {
        "standard_name": f"{STANDARD_NAME} standard_error",
        "long_name": UNCERTAINTY_LONG_NAME,
        "units": SOIL_MOISTURE.units,
        "comment": (
            f"{_uncertainty_sentence(product)} anomaly_share is, by layer, what is left of it in the deviation of a "
            "window of drought from its climatology."
        ),
        "grid_mapping": "crs",
    }


def mean_attrs(product: Product, layer: Layer) -> dict[str, str | np.ndarray]:
    """CF attributes of the daily soil moisture of one layer, m3 m-3."""
    return {
        **SOIL_MOISTURE.attrs(),
        "long_name": f"volumetric soil moisture, {_interval(layer)}",
        "cell_methods": "time: mean depth: mean area: mean",
        "grid_mapping": "crs",
        "ancillary_variables": f"{layer.name}_std status {layer.name}_applicability",
        "coverage_content_type": "modelResult",
        "comment": level_sentence(product),
        "valid_range": np.array(VALID, "float32"),
    }


def std_attrs(layer: Layer) -> dict[str, str]:
    """CF attributes of the standard deviation over the ensemble's members, m3 m-3.

    CF's modifier keeps the plain standard name for soil moisture alone, so that it is found by that name.
    """
    return {
        "standard_name": f"{STANDARD_NAME} standard_error",
        "long_name": f"spread: standard deviation of soil moisture over the ensemble's members, {_interval(layer)}",
        "units": SOIL_MOISTURE.units,
        "cell_methods": "time: mean depth: mean area: mean realization: standard_deviation",
        "grid_mapping": "crs",
        "coverage_content_type": "qualityInformation",
    }


def uncertainty_attrs(product: Product, layer: Layer) -> dict[str, str]:
    """CF attributes of the predictive standard uncertainty of the daily mean, m3 m-3."""
    return {
        **store_uncertainty_attrs(product),
        "long_name": f"{UNCERTAINTY_LONG_NAME}, {_interval(layer)}",
        # The share that is left in windows of drought stands in the stores alone.
        "comment": _uncertainty_sentence(product),
        "coverage_content_type": "qualityInformation",
    }


def file_attrs(
    product: Product, grid: Grid, times: pd.DatetimeIndex, layers: tuple[Layer, ...]
) -> dict[str, str | float]:
    """ACDD-1.3 attributes of a file that holds `layers` on the days `times`, without the empty ones."""
    publication = product.publication
    days = np.array([[times[0], times[-1] + pd.Timedelta(days=1)]], "M8[ns]")
    attrs = {
        "Conventions": CONVENTIONS,
        "id": f"{product.name}_v{product.version}",
        "naming_authority": _authority(publication.creator_url),
        "title": title(product),
        "summary": summary(product),
        # Groups such as drought have a summary of their own, and carry the level in this attribute all the same.
        LEVEL: level_sentence(product),
        "keywords": ", ".join(keywords(product, times)),
        "standard_name_vocabulary": VOCABULARY,
        "product_version": product.version,
        "history": f"written by somo for version {product.version}",
        "source": f"{product.network.name} ensemble trained on in-situ soil moisture, driven by gridded meteorology",
        "processing_level": "daily gridded model estimate",
        "comment": f"One estimate a day and layer; the spread is the standard deviation over the members. {DAY}",
        "acknowledgement": acknowledgement(product),
        "project": publication.project or product.name,
        "references": publication.references,
        "citation": citation(product),
        "doi": publication.doi,
        "license": publication.licence,
        "institution": publication.institution or publication.creator,
        "creator_name": "; ".join(f"{a.given} {a.family}" for a in publication.authors) or publication.creator,
        "creator_type": "person" if publication.authors else "group",
        "creator_institution": publication.institution or publication.creator,
        "creator_url": publication.creator_url,
        "creator_email": publication.creator_email,
        "publisher_name": publication.publisher or publication.creator,
        "publisher_url": publication.creator_url,
        "publisher_email": publication.creator_email,
        "date_created": publication.date.isoformat() if publication.date else "",
        "date_issued": publication.date.isoformat() if publication.date else "",
        "date_modified": publication.date.isoformat() if publication.date else "",
        "cdm_data_type": "Grid",
    }
    return {k: v for k, v in {**attrs, **_extent(grid, layers), **coverage_of(days, "P1D")}.items() if v != ""}


def acknowledgement(product: Product) -> str:
    """Whom the data thank: the declared text, else one made from the kinds of the archives that are learnt from."""
    if product.publication.acknowledgement:
        return product.publication.acknowledgement
    kinds = dict.fromkeys(archive.format for archive in product.insitu if archive.role == "training")
    return f"In-situ data: {'; '.join(ARCHIVES[kind] for kind in kinds)}."


def keywords(product: Product, times: pd.DatetimeIndex) -> list[str]:
    """Words by which catalogues find the data: the declared ones, else common ones; drought only where it can be."""
    if product.publication.keywords:
        return list(product.publication.keywords)
    base = product.drought.base or product.period
    # A file holds one year of many, so that its own days say nothing; an open product has what it has until them.
    until = base.end or product.period.end or times[-1].date()
    years = Period(start=base.start, end=max(until, base.start)).whole_years
    drought = ["drought"] if years >= product.drought.min_years else []
    return ["soil moisture", "in situ", "machine learning", "LSTM", *drought, "hydrology", "land surface"]


def citation(product: Product, year: int | None = None) -> str:
    """How to cite the version: authors, year, title, version, publisher, DOI.

    Parameters
    ----------
    year : of the release, where the declaration has no date
    """
    publication = product.publication
    by = "; ".join(f"{author.family}, {author.given}" for author in publication.authors) or publication.creator
    dated = publication.date.year if publication.date else year
    where = f" https://doi.org/{publication.doi}" if publication.doi else ""
    return (
        f"{by}{f' ({dated})' if dated else ''}: {title(product)}. Version {product.version}. "
        f"{publication.publisher or publication.institution or publication.creator}.{where}"
    )


def title(product: Product) -> str:
    """Declared title of a product, or one made from its name."""
    return product.publication.title or f"{product.name}: daily soil moisture learnt from in-situ measurements"


def summary(product: Product) -> str:
    """Declared summary of a product, or one made from its layers and grid; whose level the values have ends it."""
    depths = ", ".join(f"{100 * layer.top_m:g}-{100 * layer.bottom_m:g} cm" for layer in product.layers)
    about = product.publication.summary or (
        f"Daily volumetric soil moisture ({depths}) on a grid of {product.grid.step_deg} degrees, predicted by an "
        f"ensemble of {product.network.name} networks that were trained on in-situ measurements, with the standard "
        "deviation over the ensemble."
    )
    return f"{about} {level_sentence(product)}"


def _uncertainty_sentence(product: Product) -> str:
    return (
        f"One standard uncertainty of the daily mean {interval_subject(product)}: mean +- 1.645 of it means 90 %. "
        "Learnt from the errors at cells that the networks had not seen, and calibrated on them."
    )


def _interval(layer: Layer) -> str:
    return f"{layer.top_m:g}-{layer.bottom_m:g} m"


def _authority(url: str) -> str:
    host = url.split("//")[-1].split("/")[0]
    return ".".join(reversed(host.split("."))) if host else "somo"


def _extent(grid: Grid, layers: tuple[Layer, ...]) -> dict[str, str | float]:
    lat, lon = grid.bounds()
    south, north, west, east = (float(v) for v in (lat.min(), lat.max(), lon.min(), lon.max()))
    ring = [(north, west), (north, east), (south, east), (south, west), (north, west)]
    return {
        "geospatial_bounds": f"POLYGON (({', '.join(f'{a:g} {b:g}' for a, b in ring)}))",
        "geospatial_bounds_crs": "EPSG:4326",
        "geospatial_bounds_vertical_crs": "depth below the land surface, which has no EPSG code",
        "geospatial_lat_min": south,
        "geospatial_lat_max": north,
        "geospatial_lat_units": "degrees_north",
        "geospatial_lat_resolution": f"{grid.step_deg:g} degree",
        "geospatial_lon_min": west,
        "geospatial_lon_max": east,
        "geospatial_lon_units": "degrees_east",
        "geospatial_lon_resolution": f"{grid.step_deg:g} degree",
        "geospatial_vertical_min": min(layer.top_m for layer in layers),
        "geospatial_vertical_max": max(layer.bottom_m for layer in layers),
        "geospatial_vertical_units": "m",
        "geospatial_vertical_positive": "down",
        "geospatial_vertical_resolution": ", ".join(_interval(layer) for layer in layers),
    }


def coverage_of(bounds: NDArray[np.datetime64], resolution: str) -> dict[str, str]:
    """From the first of `bounds` [time, 2] to the last, so that start and duration add up to the end.

    `resolution` is the ISO 8601 duration from one stamp to the next.
    """
    start, end = pd.Timestamp(bounds[0, 0]), pd.Timestamp(bounds[-1, 1])
    return {
        "time_coverage_start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "time_coverage_end": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "time_coverage_duration": f"P{(end - start).days}D",
        "time_coverage_resolution": resolution,
    }
