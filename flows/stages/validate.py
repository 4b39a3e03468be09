"""Judge a published version: every section of the report that its product allows, each resumable."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import pandas as pd
import xarray as xr
from distributed import Client

from flows.results import (
    forcing_files,
    forcing_inputs,
    models_url,
    record_archives,
    report_page,
    report_url,
    samples_url,
    sensors_url,
    targets_url,
)
from flows.stages.validation.gate_blocks import gate_results
from flows.stages.validation.section_inputs import SectionInputs
from somo.forcing.dataset import Inputs
from somo.forcing.listing import SourceFile, content_of_source
from somo.product.declaration import Product
from somo.product.level import level_sentence
from somo.publish.manifest import renew
from somo.storage.contents import record_content
from somo.storage.objects import exists, join, read_bytes
from somo.validate.depths import naming_depths
from somo.validate.published import Published, ValidationError, open_published
from somo.validate.report.page import write_report
from somo.validate.sections.register import SECTIONS, sections_of
from somo.validate.sections.section import Impossible, Section, is_made, read_section, text_section, write_section
from somo.validate.sections.units_note import units_note

# What needs the models is imported late: it brings PyTorch, which the status and most sections can do without.
if TYPE_CHECKING:
    from flows.stages.validation.experiments import Learnt

SEEN = ("soil_moisture.zarr/zarr.json", *(f"validation/{name}.parquet" for name in ("crossval", "targets", "sensors")))
# Size up to which a compared product is held in memory; a larger one is read by the workers when it is looked at.
HELD_BYTES = 200_000_000


@dataclass(frozen=True)
class Case:
    """What the sections of one version are made from; what only some of them need is opened when they ask."""

    product: Product
    root: str
    published: Published
    client: Client

    @cached_property
    def inputs(self) -> Mapping[str, Inputs]:
        """Forcing and statics of every domain, which earlier stages have made."""
        return forcing_inputs(self.product, self.root, forcing_files(self.product))

    @cached_property
    def learnt(self) -> "Learnt":
        """Models and training set."""
        from flows.stages.validation.experiments import Learnt

        targets = targets_url(self.product, self.root, self.inputs)
        models = models_url(self.product, self.root, self.inputs, targets)
        return Learnt(models, samples_url(self.product, self.root, self.inputs, targets))

    @cached_property
    def climate(self) -> pd.DataFrame:
        """Climate of every land cell at home and every training cell elsewhere."""
        from flows.stages.validation.climate import climate_table

        return climate_table(self.product, self.inputs, self.published)

    @cached_property
    def compared(self) -> dict[str, xr.Dataset]:
        """Other products on the grid of this one; small ones are read once and held."""
        from somo.forcing.fields import find_fields
        from somo.validate.datasets import open_compared

        layers, grid = self.product.layers, self.published.grid
        days = pd.DatetimeIndex(self.published.soil["time"].values)
        opened = {c.name: open_compared(c, layers, grid, days, find_fields) for c in self.product.compare}
        return {name: ds.compute() if ds.nbytes < HELD_BYTES else ds for name, ds in opened.items()}

    @cached_property
    def common(self) -> Published:
        """The version until the last year in which there is anything to compare with."""
        return replace(self.published, soil=self._in_common(self.published.soil))

    @cached_property
    def settled(self) -> Published:
        """The version until the end of the last block of days that is whole and final."""
        days = SectionInputs(self.product, self.published.url).settled_days
        return replace(self.published, soil=self.published.soil.isel(time=slice(None, days)))

    @property
    def compared_in_common(self) -> dict[str, xr.Dataset]:
        """Other products on the same days."""
        return {name: self._in_common(ds) for name, ds in self.compared.items()}

    @cached_property
    def sampled_period(self) -> str:
        """First and last day that `memory` and `importance` look at."""
        from flows.stages.validation.experiments import sampled_period

        return sampled_period(self.learnt)

    def weather_at(self, cells: Sequence[int]) -> pd.DataFrame:
        """Daily forcing of some cells at home on the days of `settled`."""
        from flows.stages.validation.climate import weather_at

        # Where the files hold maps, years of weather at one cell are all of these maps: too much for every new day.
        # With this section and that of the independent stations the report took 250 s for 18 years of Europe.
        return weather_at(self.product, self.inputs, self.settled, list(cells))

    def independent_stations(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Targets and sensors of the archives that were kept out of training."""
        from flows.stages.targets import build_targets

        url = build_targets(self.product, self.root, self.inputs, self.client, role="independent")
        targets, sensors = (pd.read_parquet(io.BytesIO(read_bytes(u))) for u in (url, sensors_url(url)))
        return targets, sensors

    def memory(self) -> pd.DataFrame:
        """Skill by the number of days of forcing left intact."""
        from flows.stages.validation.experiments import memory

        return memory(self.learnt, self.client)

    def importance(self) -> pd.DataFrame:
        """Skill lost with each input."""
        from flows.stages.validation.experiments import importance

        return importance(self.learnt, self.client)

    def transfer(self) -> tuple[pd.DataFrame, str]:
        """Predictions in a region that was not learnt from, and a sentence that names the region."""
        from flows.stages.validation.experiments import transfer

        return transfer(self.product, self.learnt, self.client)

    def later_days(self) -> tuple[pd.DataFrame, str]:
        """Predictions for the last days by networks that learnt from the days before, and a sentence that says so."""
        from flows.stages.validation.experiments import LATER_SHARE, later

        description = f"the last {LATER_SHARE:.0%} of the days by networks that learnt from the days before"
        return later(self.product, self.learnt, self.client), description

    def _in_common(self, ds: xr.Dataset) -> xr.Dataset:
        until = SectionInputs(self.product, self.published.url).compared_until
        return ds if until is None else ds.sel(time=slice(None, f"{until}-12-31"))


def validate(product: Product, root: str, version_url: str, client: Client, only: str | None = None) -> str:
    """Make the missing sections (or remake `only`) and the report of what there is; returns the URL of its page.

    Raises
    ------
    ValidationError
        if `only` is no section of this product
    """
    names = [section.name for section in sections_of(product)]
    if only is not None and only not in names:
        raise ValidationError(f"--only {only}: no section of {product.name}; allowed are {', '.join(names)}")
    published = open_published(version_url, tuple(layer.name for layer in product.layers))
    # Before the sections get their names: an archive recorded while its section is made would rename it afterwards.
    record_compared(product, root, published)
    record_archives(product, root, "independent")
    case = Case(product, root, published, client)
    folder, keys = report_url(version_url), inputs_keys(product, version_url)
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


def record_compared(product: Product, root: str, published: Published) -> None:
    """Name the bytes of the products to compare with, so that files which move later change no section."""
    from somo.forcing.fields import find_fields
    from somo.validate.datasets import compared_files

    days = pd.DatetimeIndex(published.soil["time"].values)
    for compared in product.compare:
        for file in compared_files(compared, product.layers, days, find_fields):
            source_file = SourceFile(file.url, file.fingerprint)
            record_content(root, file.url, file.fingerprint, partial(content_of_source, source_file))


def make_section(name: str, case: Case) -> Section:
    """One section, with the units in its caption; a text that says why, where the data hold too little for it."""
    try:
        with naming_depths(case.product.depths):
            section = SECTIONS[name].make(case)
    except Impossible as why:
        return text_section(name, why)
    numbers = SECTIONS[name].numbers
    # A report that compares nothing must not speak of other products' units.
    if numbers == "products" and not case.product.compare:
        numbers = "learnt"
    note = units_note(numbers, case.product.targets.scaling)
    return replace(section, caption=f"{section.caption} {note}".strip())


def pending_sections(product: Product, version_url: str) -> list[str]:
    """Names of the sections that are still to be made of what is published now."""
    if not all(exists(join(version_url, name)) for name in SEEN):
        return [section.name for section in sections_of(product)]
    folder, keys = report_url(version_url), inputs_keys(product, version_url)
    missing = [name for name, key in keys.items() if not is_made(folder, name, key)]
    return missing if missing or exists(report_page(version_url)) else list(keys)


def require_judged(product: Product, version_url: str) -> None:
    """Refuse a version whose report is not about what is published now.

    Raises
    ------
    ValidationError
        naming the sections that are missing
    """
    if pending := pending_sections(product, version_url):
        raise ValidationError(
            f"{version_url}: the report lacks {', '.join(pending)} of what is published now; run `somo run` to its end"
        )


def inputs_keys(product: Product, version_url: str) -> dict[str, str]:
    """Hash of what each section is made from, by name of section."""
    inputs = SectionInputs(product, version_url)
    return {section.name: inputs.key(section) for section in sections_of(product)}


def _about(product: Product, published: Published) -> dict[str, str]:
    title = product.publication.title or product.name
    days = pd.DatetimeIndex(published.targets["time"])
    stations_period = f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}" if len(days) else ""
    facts = {"version": product.version, "period": published.period, "note": product.publication.summary}
    return {"title": title, **facts, "level": level_sentence(product), "stations_period": stations_period}
