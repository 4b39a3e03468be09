"""Judge a published version: every section of the report that its product allows, each resumable."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr
from distributed import Client

from flows.results import forcing_files, forcing_inputs, models_url, samples_url, sensors_url, targets_url
from flows.stages.gate_blocks import gate_results
from flows.stages.section_inputs import SectionInputs
from somo.product.declaration import Product
from somo.publish.manifest import renew
from somo.storage.objects import exists, join, read_bytes
from somo.validate.published import Published, ValidationError, open_published
from somo.validate.report.page import write_report
from somo.validate.sections.figures import naming_depths
from somo.validate.sections.section import Impossible, Section, is_made, read_section, text_section, write_section
from somo.validate.sections.units_note import units_note

if TYPE_CHECKING:
    from flows.stages.experiments import Learnt

SEEN = ("soil_moisture.zarr/zarr.json", *(f"validation/{name}.parquet" for name in ("crossval", "targets", "sensors")))
HELD_BYTES = 200_000_000
"""Size up to which a compared product is held in memory; a larger one is read by the workers when it is looked at."""


@dataclass(frozen=True)
class Case:
    """What the sections of one version are made from; what only some of them need is opened when they ask."""

    product: Product
    root: str
    published: Published
    client: Client

    @cached_property
    def inputs(self) -> Mapping:
        """Forcing and statics of every domain, which earlier stages have made."""
        return forcing_inputs(self.product, self.root, forcing_files(self.product))

    @cached_property
    def learnt(self) -> "Learnt":
        """Models and training set."""
        from flows.stages.experiments import Learnt

        targets = targets_url(self.product, self.root, self.inputs)
        models = models_url(self.product, self.root, self.inputs, targets)
        return Learnt(models, samples_url(self.product, self.root, self.inputs, targets))

    @cached_property
    def climate(self) -> pd.DataFrame:
        from flows.stages.climate import climate_table

        return climate_table(self.product, self.inputs, self.published)

    @cached_property
    def compared(self) -> dict[str, xr.Dataset]:
        """Other products on the grid of this one; small ones are read once and held."""
        from somo.validate.datasets import open_compared

        layers = self.product.layers
        days = pd.DatetimeIndex(self.published.soil["time"].values)
        opened = {c.name: open_compared(c, layers, self.published.grid, days) for c in self.product.compare}
        return {name: ds.compute() if ds.nbytes < HELD_BYTES else ds for name, ds in opened.items()}

    @cached_property
    def common(self) -> Published:
        """The version until the last year in which there is anything to compare with."""
        return replace(self.published, soil=self._in_common(self.published.soil))

    @property
    def compared_in_common(self) -> dict[str, xr.Dataset]:
        """Other products on the same days."""
        return {name: self._in_common(ds) for name, ds in self.compared.items()}

    def _in_common(self, ds: xr.Dataset) -> xr.Dataset:
        until = SectionInputs(self.product, self.published.url).compared_until
        return ds if until is None else ds.sel(time=slice(None, f"{until}-12-31"))


def _overview(case: Case) -> Section:
    from somo.validate.sections.maps import overview_section

    return overview_section(case.published)


def _training(case: Case) -> Section:
    from somo.validate.sections.training_space import training_section

    return training_section(case.published, case.climate)


def _memory(case: Case) -> Section:
    from flows.stages.experiments import memory, sampled_period
    from somo.validate.sections.model_experiments import memory_section

    table = memory(case.learnt, case.client)
    return memory_section(table, case.product.sequence.lookback, sampled_period(case.learnt))


def _importance(case: Case) -> Section:
    from flows.stages.experiments import importance, sampled_period
    from somo.validate.sections.model_experiments import importance_section

    return importance_section(importance(case.learnt, case.client), sampled_period(case.learnt))


def _crossval(case: Case) -> Section:
    from somo.validate.sections.skill import split_section

    apart = case.product.training.fold_distance_km
    near = f", those closer than {apart:g} km together" if apart else ""
    how = f"Out-of-fold predictions of a spatial cross-validation: whole cells are held back{near}."
    return split_section(case.published.crossval, "figS3", how)


def _transfer(case: Case) -> Section:
    from flows.stages.experiments import transfer
    from somo.validate.sections.skill import split_section

    pairs, told = transfer(case.product, case.learnt, case.client)
    return split_section(pairs, "fig4", f"Predictions in another region: {told}.")


def _later(case: Case) -> Section:
    from flows.stages.experiments import LATER_SHARE, later
    from somo.validate.sections.skill import split_section

    how = f"Predictions for the last {LATER_SHARE:.0%} of the days by networks that learnt from the days before."
    return split_section(later(case.product, case.learnt, case.client), "figS4", how)


def _stations(case: Case) -> Section:
    from somo.validate.sections.stations import stations_section

    return stations_section(case.published)


def _uncertainty(case: Case) -> Section:
    from somo.validate.sections.uncertainty import uncertainty_section

    return uncertainty_section(case.published)


def _groups(case: Case) -> Section:
    from somo.validate.sections.groups import groups_section

    return groups_section(case.published, case.climate)


def _series(case: Case) -> Section:
    from somo.validate.sections.series import series_section

    return series_section(case.published.crossval)


def _weather(case: Case) -> Section:
    from flows.stages.climate import weather_at
    from somo.validate.sections.series import typical_cells, weather_section

    home = case.published.crossval[case.published.crossval["domain"] == case.product.home]
    if home.empty:
        raise Impossible("no cell of the predicted domain was learnt from")
    cells = [cell for _, cell in typical_cells(home.dropna(subset=["y", "y_hat"]), 3)]
    return weather_section(case.published, weather_at(case.product, case.inputs, case.published, cells))


def _maps(case: Case) -> Section:
    from somo.validate.sections.seasons import maps_section

    layer = case.published.layers[0]
    products = {case.product.name: case.published.soil["soil_moisture"].isel(depth=0, drop=True)}
    products |= {name: ds[layer] for name, ds in case.compared.items() if layer in ds}
    wanted = case.product.report
    return maps_section(products, case.published.grid, layer, wanted.season, wanted.year)


def _regions(case: Case) -> Section:
    from somo.validate.sections.seasons import regions_section, seasonal_means

    season = case.product.report.season
    seasons = seasonal_means(case.published.soil["soil_moisture"], season).compute()
    layers = case.published.layers
    others = {
        name: seasonal_means(ds[layers[0]], season).compute() for name, ds in case.compared.items() if layers[0] in ds
    }
    return regions_section(seasons, case.published.grid, layers, season, others)


def _independent(case: Case) -> Section:
    from flows.stages.targets import build_targets
    from somo.validate.sections.intercomparison import independent_section

    url = build_targets(case.product, case.root, case.inputs, case.client, role="independent")
    targets, sensors = (pd.read_parquet(io.BytesIO(read_bytes(u))) for u in (url, sensors_url(url)))
    return independent_section(case.published, case.product.name, case.compared, targets, sensors)


def _everywhere(case: Case) -> Section:
    from somo.validate.sections.intercomparison import everywhere_section

    return everywhere_section(case.common, case.product.name, case.compared_in_common)


def _collocation(case: Case) -> Section:
    from somo.validate.sections.intercomparison import collocation_section

    return collocation_section(case.common, case.product.name, case.compared_in_common)


SECTIONS: dict[str, Callable[[Case], Section]] = {
    "overview": _overview,
    "figS3": _crossval,
    "stations": _stations,
    "uncertainty": _uncertainty,
    "groups": _groups,
    "series": _series,
    "fig2": _training,
    "fig3": _memory,
    "figS2": _importance,
    "fig4": _transfer,
    "figS4": _later,
    "fig5a": _independent,
    "fig5b": _everywhere,
    "collocation": _collocation,
    "fig6": _maps,
    "figS6": _regions,
    "fig7": _weather,
}


def sections_of(product: Product) -> list[str]:
    """Names of the sections that a product's declaration allows, in the order of the report."""
    others, independent = len(product.compare), any(a.role == "independent" for a in product.insitu)
    impossible = {"fig5a": not independent, "fig5b": others < 1, "collocation": others < 2}
    impossible["fig7"] = "precipitation" not in product.forcing
    return [name for name in SECTIONS if not impossible.get(name, False)]


def validate(product: Product, root: str, version_url: str, client: Client, only: str | None = None) -> str:
    """Make the missing sections (or remake `only`) and the report of what there is; returns the URL of its page.

    Raises
    ------
    ValidationError
        if `only` is no section of this product
    """
    names = sections_of(product)
    if only is not None and only not in names:
        raise ValidationError(f"--only {only}: no section of {product.name}; allowed are {', '.join(names)}")
    published = open_published(version_url, tuple(layer.name for layer in product.layers))
    case = Case(product, root, published, client)
    folder, keys = join(version_url, "report"), inputs_keys(product, version_url)
    sections = []
    for name in names:
        section = None if name == only else read_section(folder, name, keys[name])
        if section is None and only in (None, name):
            section = make_section(name, case)
            write_section(section, folder, keys[name])
        if section is not None:
            sections.append(section)
    page = write_report(sections, folder, _about(product, published), gate_results(product, root), product.depths)
    renew(version_url, "report")
    return page


def make_section(name: str, case: Case) -> Section:
    """One section, its caption with the units; in words where the data hold too little for it."""
    try:
        with naming_depths(case.product.depths):
            section = SECTIONS[name](case)
    except Impossible as why:
        return text_section(name, why)
    note = units_note(name, case.product.targets.scaling)
    return replace(section, caption=f"{section.caption} {note}".strip())


def pending_sections(product: Product, version_url: str) -> list[str]:
    """Names of the sections that are still to be made of what is published now."""
    if not all(exists(join(version_url, name)) for name in SEEN):
        return sections_of(product)
    folder, keys = join(version_url, "report"), inputs_keys(product, version_url)
    missing = [name for name, key in keys.items() if not is_made(folder, name, key)]
    return missing if missing or exists(join(folder, "index.html")) else sections_of(product)


def require_judged(product: Product, version_url: str) -> None:
    """Refuse a version whose report is not about what is published now."""
    if pending := pending_sections(product, version_url):
        raise ValidationError(
            f"{version_url}: the report lacks {', '.join(pending)} of what is published now; run `somo run` to its end"
        )


def inputs_keys(product: Product, version_url: str) -> dict[str, str]:
    """Hash of what each section is made from, by name of section."""
    inputs = SectionInputs(product, version_url)
    return {name: inputs.key(name) for name in sections_of(product)}


def _about(product: Product, published: Published) -> dict[str, str]:
    title = product.publication.title or product.name
    said = {"version": product.version, "period": published.period, "note": product.publication.summary}
    return {"title": title, **said}
