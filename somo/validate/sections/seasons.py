"""Seasons: their mean maps, z-scores of one season against all years (Fig 6), regional anomalies by year (Fig S6)."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import regionmask
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.validate.depths import depth_of
from somo.validate.season_days import seasonal_means
from somo.validate.sections.figures import (
    ANOMALY_MAP,
    COLOURS,
    SOIL_MAP,
    UNITS,
    canvas,
    colour_bar,
    draw_map,
    legend_below,
    map_size,
    svg,
)
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

MAPS_ABREAST = 3
# The paper compares the patterns of products everywhere and south of 60 N (Fig 6).
SOUTH_OF = 60.0
# The least number of years that drought classes are built on by default, too.
CLIMATE_YEARS = 10
JUDGED = "this product"
# Two years deviate from their own mean by the same amount, up and down, whatever the weather was.
LEAST_YEARS = 3
# [lat, lon] by product.
Fields = Mapping[str, NDArray[np.float64]]


def seasonal_maps(judged: Judged) -> Section:
    """Section `fig6` of a version."""
    layer = judged.published.layers[0]
    products = {judged.product.name: judged.published.soil["soil_moisture"].isel(depth=0, drop=True)}
    products |= {name: ds[layer] for name, ds in judged.compared.items() if layer in ds}
    report = judged.product.report
    return maps_section(products, judged.published.grid, layer, report.season, report.year)


def regional_seasons(judged: Judged) -> Section:
    """Section `figS6` of a version."""
    season = judged.product.report.season
    seasons = seasonal_means(judged.published.soil["soil_moisture"], season).compute()
    layers = judged.published.layers
    others = {name: _of_product(ds[layers[0]], season) for name, ds in judged.compared.items() if layers[0] in ds}
    return regions_section(seasons, judged.published.grid, layers, season, others)


def _of_product(field: xr.DataArray, season: str) -> xr.DataArray:
    """[year, lat, lon] seasons of another product, of the years in which it has any."""
    seasons = seasonal_means(field, season, has_gaps=True).compute()
    # A product of other years is brought to the published days, on which it then has no value anywhere.
    return seasons.isel(year=np.flatnonzero(seasons.notnull().any(("lat", "lon"))))


def z_scores(seasons: xr.DataArray, year: int) -> xr.DataArray:
    """Season of one year less the mean over all years, over their standard deviation (ddof 1); NaN for few years."""
    if seasons.sizes["year"] < LEAST_YEARS:
        return xr.full_like(seasons.sel(year=year, drop=True), np.nan)
    spread, count = seasons.std("year", ddof=1), seasons.count("year")
    # Seasons that are equal but for rounding have no z-score, and cells of which a product has few years have none.
    return (seasons.sel(year=year, drop=True) - seasons.mean("year")) / spread.where(
        (spread > 1e-6) & (count >= LEAST_YEARS)
    )


def greatest_z(years: int) -> float:
    """What a z-score of one of so many years cannot exceed, as the year is part of their mean and deviation."""
    return float((years - 1) / np.sqrt(years))


def pattern_correlation(a: NDArray[np.float64], b: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Pearson correlation of two maps [lat, lon] with weights [lat], over the cells where both have a value."""
    both = np.isfinite(a) & np.isfinite(b)
    w = np.broadcast_to(weights[:, None], a.shape)[both]
    x, y = a[both], b[both]
    if len(x) < 2 or w.sum() == 0:
        return float("nan")
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    return float(_weighted_r(x, y, w))


def _weighted_r(x: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]) -> float:
    """Correlation of centred values with weights; NaN where one does not vary."""
    scale = np.sqrt((w * x**2).sum() * (w * y**2).sum())
    return float((w * x * y).sum() / scale) if scale > 0 else float("nan")


def chosen_year(years: NDArray[np.int64], season: str, declared: int | None) -> int:
    """The declared year; else 2015, the year of the paper's figure, where it is there; else the last year."""
    if declared is not None and declared not in years:
        raise Impossible(f"report.year {declared} holds no whole {season}; there are {', '.join(map(str, years))}")
    return declared or (2015 if 2015 in years else int(years[-1]))


def maps_section(
    products: Mapping[str, xr.DataArray], grid: Grid, layer: str, season: str = "JJA", year: int | None = None
) -> Section:
    """Mean maps of a season and z-scores of one year, with their pattern correlations.

    Parameters
    ----------
    products : name -> daily field [time, lat, lon] on `grid`; the first is the one that is judged
    """
    judged, *others = products
    seasons = {judged: seasonal_means(products[judged], season).compute()}
    seasons |= {name: _of_product(products[name], season) for name in others}
    seasons = {name: field for name, field in seasons.items() if field.sizes["year"]}
    if judged not in seasons:
        raise Impossible(f"the published days hold no whole {season}")
    year = chosen_year(seasons[judged]["year"].values, season, year)
    means = {name: field.mean("year").values for name, field in seasons.items()}
    nowhere = np.full(grid.shape, np.nan)
    scores = {n: z_scores(f, year).values if year in f["year"] else nowhere for n, f in seasons.items()}
    level = _limits(np.stack(list(means.values())))
    has_scores = any(np.isfinite(field).any() for field in scores.values())
    mean_label = f"{depth_of(layer)}, mean {season} soil moisture ({UNITS})"
    score_label = f"{depth_of(layer)}, z-score of {season} {year} (standard deviations)"
    rows_of_maps = [_Row(means, SOIL_MAP, level, "", mean_label)]
    if has_scores:
        most = min(2.5, greatest_z(seasons[judged].sizes["year"]))
        rows_of_maps.append(_Row(scores, ANOMALY_MAP, (-most, most), f", {year}", score_label))
    figure = _season_figure(rows_of_maps, grid)
    table = _pattern_table(means, scores, grid, judged)
    years = seasons[judged]["year"].values
    compared = _correlated(judged) if len(seasons) > 1 else ""
    caption = (
        f"{_drawn(season, layer, year, has_scores)}{compared}n = {int(np.isfinite(means[judged]).sum())} cells, "
        f"{len(years)} years {years.min()} to {years.max()}. {_few(years)}Coast: Natural Earth."
    )
    fields = _tidy(means, scores, grid)
    shown_table = table[table["product"] != judged].round(3) if len(seasons) > 1 else pd.DataFrame()
    return Section("fig6", caption, figure, fields, shown_table, {"pattern_r": _records(table)})


@dataclass(frozen=True)
class _Row:
    """Maps of one kind of all products, which share a scale."""

    fields: Fields
    colours: str
    limits: tuple[float, float]
    suffix: str
    label: str


def _season_figure(rows_of_maps: Sequence[_Row], grid: Grid) -> bytes:
    """One block of maps for each kind, with its colour bar."""
    products = len(rows_of_maps[0].fields)
    columns = min(products, MAPS_ABREAST)
    rows = -(-products // columns)
    width, height = map_size(grid)
    kinds = len(rows_of_maps)
    with canvas(kinds * rows, columns, max(width * columns, 4.5), kinds * (rows * height + 0.9)) as (figure, axes):
        for number, row in enumerate(rows_of_maps):
            block = axes[number * rows : (number + 1) * rows].ravel()
            for ax, (name, field) in zip(block, row.fields.items(), strict=False):
                drawn = draw_map(ax, field, grid, row.colours, row.limits, f"{name}{row.suffix}")
            for ax in block[products:]:
                ax.set_axis_off()
            colour_bar(figure, drawn, block.tolist(), row.label)
    return svg(figure)


def _drawn(season: str, layer: str, year: int, has_scores: bool) -> str:
    mean = f"mean {season} soil moisture of {depth_of(layer)}"
    if not has_scores:
        return f"{mean[0].upper()}{mean[1:]}. "
    deviation = f"{season} {year} less the mean of all years over their standard deviation"
    return f"Top: {mean}; bottom: {deviation}. "


def regions_section(
    seasons: xr.DataArray,
    grid: Grid,
    layers: tuple[str, ...],
    season: str = "JJA",
    others: Mapping[str, xr.DataArray] | None = None,
) -> Section:
    """Regional anomalies of a season by year, in the PRUDENCE regions (Christensen & Christensen 2007).

    Parameters
    ----------
    seasons : [year, depth, lat, lon] as `seasonal_means` gives them
    others : name of another product -> its seasons [year, lat, lon] of the first layer, on the same grid
    """
    table = regional_anomalies(seasons, grid, layers).assign(product=JUDGED)
    for name, other in (others or {}).items():
        if other.sizes.get("year", 0) >= LEAST_YEARS:
            one_layer = regional_anomalies(other.expand_dims(depth=1, axis=1), grid, layers[:1])
            table = pd.concat([table, one_layer.assign(product=name)], ignore_index=True)
    compared = [name for name in dict.fromkeys(table["product"]) if name != JUDGED]
    names = list(dict.fromkeys(table["region"]))
    if not names:
        raise Impossible("no PRUDENCE region holds a cell of this product with a whole season " + season)
    if (years := table["year"].nunique()) < LEAST_YEARS:
        raise Impossible(f"anomalies need {LEAST_YEARS} years with a whole season {season}; there are {years}")
    rows, first = -(-len(names) // 4), depth_of(layers[0])
    with canvas(rows, min(len(names), 4), 2.9 * min(len(names), 4), 2.3 * rows + 0.6) as (figure, axes):
        for ax in axes.ravel()[len(names) :]:
            ax.set_axis_off()
        for ax, name in zip(axes.ravel(), names, strict=False):
            for k, layer in enumerate(layers):
                curve = _of(table, JUDGED, name, layer)
                ax.plot(
                    curve["year"], curve["anomaly"], marker="o", markersize=3, color=COLOURS[k], label=depth_of(layer)
                )
            for k, other in enumerate(compared, start=len(layers)):
                line = _of(table, other, name, layers[0])
                colour = COLOURS[k % len(COLOURS)]
                ax.plot(line["year"], line["anomaly"], "--", linewidth=1, color=colour, label=f"{other}, {first}")
            ax.axhline(0, color="#888888", linewidth=0.8)
            ax.set(title=f"{name} (n = {int(curve['cells'].max())})", ylabel=f"anomaly ({UNITS})")
            ax.xaxis.get_major_locator().set_params(integer=True, nbins=4)
        legend_below(figure, axes[0, 0])
    caption = (
        f"{season} soil moisture of each year less the mean of all years, area-weighted over the land cells of the "
        f"PRUDENCE regions; n = cells of this product in the region, {table['year'].min()} to {table['year'].max()}."
        + (f" Dashed: other products at {first}, each against its own years." if compared else "")
    )
    return Section("figS6", caption, svg(figure), table)


def _of(table: pd.DataFrame, product: str, region: str, layer: str) -> pd.DataFrame:
    return table[(table["product"] == product) & (table["region"] == region) & (table["layer"] == layer)]


def regional_anomalies(seasons: xr.DataArray, grid: Grid, layers: tuple[str, ...]) -> pd.DataFrame:
    """Area-weighted seasonal anomaly: region, layer, year, anomaly (m3 m-3), cells."""
    with warnings.catch_warnings():
        # A product outside Europe has no PRUDENCE region; the section says so in its own words.
        warnings.filterwarnings("ignore", "No gridpoint belongs to any region")
        warnings.filterwarnings("ignore", "Use `@` matmul", PendingDeprecationWarning)
        # The regions count longitudes from -180, a grid may count them from 0.
        lon = (grid.lon + 180) % 360 - 180
        inside = regionmask.defined_regions.prudence.mask_3D(lon, grid.lat, drop=True, wrap_lon=False)
    anomaly = (seasons - seasons.mean("year")).transpose("year", "depth", "lat", "lon")
    weights = grid.area_weights()[:, None] * np.ones(grid.shape)
    rows = []
    for name, mask in zip(inside["names"].values, inside.values, strict=True):
        for k, layer in enumerate(layers):
            field = anomaly[:, k].values
            has_values = mask & np.isfinite(field).all(0)
            if has_values.any():
                mean = (field[:, has_values] * weights[has_values]).sum(1) / weights[has_values].sum()
                cells = int(has_values.sum())
                rows += [
                    (str(name), layer, int(y), float(v), cells)
                    for y, v in zip(anomaly["year"].values, mean, strict=True)
                ]
    return pd.DataFrame(rows, columns=["region", "layer", "year", "anomaly", "cells"])


def _pattern_table(means: Fields, scores: Fields, grid: Grid, judged: str) -> pd.DataFrame:
    south = np.where(grid.lat < SOUTH_OF, 1.0, 0.0)
    rows = []
    for name in means:
        for of, fields in (("mean", means), ("z-score", scores)):
            a, b = fields[judged], fields[name]
            w = grid.area_weights()
            cells = int((np.isfinite(a) & np.isfinite(b)).sum())
            r, r_south = (pattern_correlation(a, b, weights) for weights in (w, w * south))
            rows.append({"product": name, "of": of, "r": r, f"r south of {SOUTH_OF:.0f} N": r_south, "cells": cells})
    return pd.DataFrame(rows)


def _records(table: pd.DataFrame) -> list[dict[str, object]]:
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _tidy(means: Fields, scores: Fields, grid: Grid) -> pd.DataFrame:
    lat, lon = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    tables = []
    for name, mean in means.items():
        cell_values = {"lat": lat.ravel(), "lon": lon.ravel(), "mean": mean.ravel(), "z_score": scores[name].ravel()}
        product_values = {"product": name, **cell_values}
        tables.append(pd.DataFrame(product_values).dropna(subset=["mean"]))
    return pd.concat(tables, ignore_index=True)


def _limits(field: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanquantile(field, (0.02, 0.98)) if np.isfinite(field).any() else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-3))


def _correlated(judged: str) -> str:
    return f"Table: area-weighted pattern correlation with {judged}, everywhere and south of {SOUTH_OF:.0f} N. "


def _few(years: NDArray[np.int64]) -> str:
    if len(years) < LEAST_YEARS:
        return f"z-scores need {LEAST_YEARS} years and are not drawn. "
    if len(years) < CLIMATE_YEARS:
        return f"So few years tell little of what is usual: their z-scores cannot exceed {greatest_z(len(years)):.1f}. "
    return ""
