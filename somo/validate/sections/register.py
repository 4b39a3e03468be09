"""The sections of the report: what each is called, what it is made of and what makes it, in the order of the report.

A further section is one value, given to `register_section`, from anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, Protocol

import pandas as pd
import xarray as xr

from somo.product.declaration import Product
from somo.validate.published import Published
from somo.validate.sections.section import Section


class Judged(Protocol):
    """What a section may ask of the version that is judged; each answer is worked out when it is first asked for."""

    @property
    def product(self) -> Product:
        """The declaration."""

    @property
    def published(self) -> Published:
        """Store and tables, as any reader finds them."""

    @property
    def common(self) -> Published:
        """The version until the last year in which there is another product to compare with."""

    @property
    def settled(self) -> Published:
        """The version until the end of the last block of days that is whole and final."""

    @property
    def compared(self) -> dict[str, xr.Dataset]:
        """Other products by name, on this grid: soil moisture [time, lat, lon] by name of layer, m3 m-3."""

    @property
    def compared_in_common(self) -> dict[str, xr.Dataset]:
        """Other products on the days of `common`."""

    @property
    def climate(self) -> pd.DataFrame:
        """Climate of land cells: domain, cell, x (aridity), y (mean temperature, degC), climate (class)."""

    @property
    def sampled_period(self) -> str:
        """First and last day that `memory` and `importance` look at."""

    def weather_at(self, cells: Sequence[int]) -> pd.DataFrame:
        """Daily forcing of some cells at home on the days of `settled`: cell, time and a column a variable."""

    def independent_stations(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Targets and sensors of the archives that were kept out of training."""

    def memory(self) -> pd.DataFrame:
        """Skill by the number of days of forcing left intact."""

    def importance(self) -> pd.DataFrame:
        """Skill lost with each input."""

    def transfer(self) -> tuple[pd.DataFrame, str]:
        """Predictions in a region that was not learnt from, and in words which."""

    def later_days(self) -> tuple[pd.DataFrame, str]:
        """Predictions for days after those that were learnt from, and in words which."""


MadeOf = Literal["method", "skill", "stations", "days", "settled", "common_days", "season", "independent", "compared"]
"""What a section looks at: settings and models; out-of-fold predictions; targets and sensors; published days, those of
whole and final blocks, those in common with other products, those of whole seasons; archives kept out of training;
other products."""
Numbers = Literal["held back", "learnt", "products", "unscaled", "plain"]
"""Which numbers a section shows; its caption says what the scaling of targets means for them (`units_note`)."""


@dataclass(frozen=True)
class ReportSection:
    """One section as it is declared.

    Attributes
    ----------
    name : short name, as in `somo validate --only NAME`
    title : heading in the report
    maker : makes the section of what is judged; a function, or "module:function" which is imported when it is needed
    made_of : what it looks at; it is made again when one of these changes, and only then
    numbers : which numbers it shows
    possible : whether a product's declaration allows it
    """

    name: str
    title: str
    maker: Callable[[Judged], Section] | str
    made_of: tuple[MadeOf, ...]
    numbers: Numbers = "plain"
    possible: Callable[[Product], bool] = lambda product: True

    def make(self, judged: Judged) -> Section:
        """The section of one version.

        Raises
        ------
        ValueError
            if its maker gives it another name
        """
        if isinstance(self.maker, str):
            module, function = self.maker.split(":")
            section: Section = getattr(import_module(f"somo.validate.sections.{module}"), function)(judged)
        else:
            section = self.maker(judged)
        # It is written under its own name and looked for under the registered one: it would be missing for ever.
        if section.name != self.name:
            raise ValueError(f"{self.name}: its maker calls the section {section.name!r}; give both the same name")
        return section


def _compares(others: int) -> Callable[[Product], bool]:
    return lambda product: len(product.compare) >= others


def _has_independent_stations(product: Product) -> bool:
    return any(archive.role == "independent" for archive in product.insitu)


def _has_rain(product: Product) -> bool:
    return "precipitation" in product.forcing


# Makers are named and not imported: drawing takes seconds to import, and `somo status` only asks what is to be made.
_SECTIONS = (
    ReportSection("overview", "What was published", "maps:overview", ("settled",), "learnt"),
    ReportSection("figS3", "Spatial cross-validation (Fig S3)", "skill:held_back_cells", ("skill",), "held back"),
    ReportSection("level", "Level: which place is wetter", "level:level", ("skill",), "held back"),
    ReportSection("stations", "Station by station", "stations:stations", ("skill", "stations"), "held back"),
    ReportSection(
        "uncertainty", "Is the uncertainty true?", "uncertainty:uncertainty", ("skill", "stations"), "held back"
    ),
    ReportSection(
        "groups",
        "By network, climate and layer; 31-day anomalies",
        "groups:groups",
        ("method", "skill", "stations"),
        "held back",
    ),
    ReportSection("series", "Series at three held-back cells", "series:held_back_series", ("skill",), "held back"),
    ReportSection(
        "fig2", "Where the measurements are (Fig 2)", "training_space:training_space", ("method", "stations")
    ),
    ReportSection("fig3", "Memory of the model (Fig 3)", "model_experiments:memory", ("method",)),
    ReportSection("figS2", "Importance of inputs (Fig S2)", "model_experiments:importance", ("method",), "held back"),
    ReportSection("fig4", "Transfer to another region (Fig 4)", "skill:transfer", ("method", "skill"), "held back"),
    ReportSection("figS4", "Later days (Fig S4)", "skill:later_days", ("method", "skill"), "held back"),
    ReportSection(
        "fig5a",
        "At independent stations (Fig 5a)",
        "intercomparison:independent_stations",
        ("days", "stations", "independent", "compared"),
        "unscaled",
        _has_independent_stations,
    ),
    ReportSection(
        "fig5b",
        "Everywhere, against the average (Fig 5b)",
        "intercomparison:everywhere",
        ("common_days", "compared"),
        "products",
        _compares(1),
    ),
    # Three estimates of the same truth: this product and two others.
    ReportSection(
        "collocation",
        "Triple collocation",
        "intercomparison:collocation",
        ("common_days", "compared"),
        "products",
        _compares(2),
    ),
    ReportSection(
        "fig6", "Seasonal maps and anomalies (Fig 6)", "seasons:seasonal_maps", ("season", "compared"), "products"
    ),
    ReportSection(
        "figS6", "Regional seasonal anomalies (Fig S6)", "seasons:regional_seasons", ("season", "compared"), "learnt"
    ),
    ReportSection(
        "fig7",
        "Three cells and their weather (Fig 7)",
        "series:cells_and_weather",
        ("settled", "skill"),
        "learnt",
        _has_rain,
    ),
)
SECTIONS: dict[str, ReportSection] = {section.name: section for section in _SECTIONS}


def register_section(section: ReportSection) -> None:
    """Add a section to the end of the report.

    Raises
    ------
    ValueError
        if another section has its name
    """
    if section.name in SECTIONS:
        raise ValueError(f"{section.name}: the report has such a section, {SECTIONS[section.name].title!r}")
    SECTIONS[section.name] = section


def sections_of(product: Product) -> list[ReportSection]:
    """The sections that a product's declaration allows, in the order of the report."""
    return [section for section in SECTIONS.values() if section.possible(product)]
