"""How a version is judged and described: the report, the gate, and what readers and catalogues are told."""

import datetime as dt
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from somo.core.variables import SOIL_MOISTURE
from somo.product.declared import Declared


class Report(Declared):
    """What the validation report looks at."""

    season: Literal["DJF", "MAM", "JJA", "SON"] = "JJA"
    """Months whose maps it shows, by their initials."""
    year: int | None = Field(default=None, examples=[2018])
    """Year that is set against all others; left out, 2015, the year of the paper's figure, where the product holds it,
    and else the last year."""


class Checks(Declared):
    """The gate: a version that breaks one of these is not released."""

    # Both within the `valid_range` that published files declare.
    valid_min: float = Field(default=SOIL_MOISTURE.valid_min, ge=SOIL_MOISTURE.valid_min, examples=[0.02])
    """Smallest value that may be published, m3 m-3."""
    valid_max: float = Field(default=SOIL_MOISTURE.valid_max, le=SOIL_MOISTURE.valid_max, examples=[0.8])
    """Largest value that may be published, m3 m-3."""
    max_nan_fraction: float = Field(default=0.0, ge=0, le=1, examples=[0.01])
    """Largest share of land cells' days without a value."""
    max_seam: float = Field(default=0.01, gt=0, examples=[0.02])
    """Largest step between neighbouring tiles of cells, m3 m-3."""
    max_block_jump: float = Field(default=0.01, gt=0, examples=[0.02])
    """Largest jump from a block of days to the next that nine tenths of the land share, m3 m-3."""
    max_year_jump: float = Field(default=0.01, gt=0, examples=[0.02])
    """Largest jump from 31 December to 1 January that nine tenths of the land share, m3 m-3."""
    max_skill_drop: float = Field(default=0.02, ge=0, examples=[0.05])
    """How much lower than in the version before a layer's median r at the cells of the folds may be."""
    min_applicable: float = Field(default=0.0, ge=0, le=1, examples=[0.5])
    """Least share of land cells inside the area of applicability."""
    min_coverage: float = Field(default=0.85, ge=0, le=1, examples=[0.8])
    """Least share of measurements at the cells of the folds that a layer's 90 % interval holds."""
    max_coverage: float = Field(default=0.95, ge=0, le=1, examples=[0.98])
    """Largest share of measurements at the cells of the folds that a layer's 90 % interval holds."""

    @model_validator(mode="after")
    def _passable(self) -> Self:
        for least, most in (("valid_min", "valid_max"), ("min_coverage", "max_coverage")):
            low, high = getattr(self, least), getattr(self, most)
            # No version could pass, and that would be told after days of computing.
            if low > high:
                raise ValueError(f"{least} {low:g} lies above {most} {high:g}; swap them")
        return self


class Author(Declared):
    """One person who made the data; authors are cited in the order in which they are listed."""

    family: str = Field(examples=["Curie"])
    """Family name."""
    given: str = Field(examples=["Marie"])
    """Given names."""
    orcid: str = Field(default="", pattern=r"^(\d{4}-\d{4}-\d{4}-\d{3}[\dX])?$", examples=["0000-0002-1825-0097"])
    """ORCID iD."""
    affiliation: str = Field(default="", examples=["University of Paris"])
    """Where the author works."""


class Publication(Declared):
    """How readers and catalogues see the data described."""

    title: str = Field(default="", examples=["Daily soil moisture of Thuringia"])
    """Title of the data set; left out, one made from the product's name."""
    summary: str = Field(default="", examples=["Soil moisture of three layers, learnt from 40 stations."])
    """A paragraph about it; left out, one made from layers and grid."""
    authors: tuple[Author, ...] = ()
    """Who made the data and is cited; without authors it is `creator`."""
    creator: str = Field(default="SoMo developers", examples=["Hydrology group"])
    """Group that made the data."""
    creator_url: str = Field(default="", examples=["https://example.org/hydrology"])
    """Address of the group."""
    creator_email: str = Field(default="", examples=["soil@example.org"])
    """Whom readers may write to."""
    institution: str = Field(default="", examples=["University of Paris"])
    """Where the data were made; left out, `creator`."""
    publisher: str = Field(default="", examples=["Zenodo"])
    """Who publishes the data; left out, `institution` or `creator`."""
    date: dt.date | None = Field(default=None, examples=[dt.date(2024, 5, 1)])
    """Day by which this version is dated and cited."""
    doi: str = Field(default="", examples=["10.5281/zenodo.1234567"])
    """DOI of this version."""
    address: str = Field(default="", pattern=r"^(https?://.+)?$", examples=["https://data.example.org/soil"])
    """Address at which readers find the root; pages that show a link's picture want it whole."""
    reference_model: str = Field(default="", examples=["ERA5-Land"])
    """Name of the model whose level `scaling = "reference"` gives; left out, the variables of its files."""
    acknowledgement: str = Field(default="", examples=["We thank the farmers of Thuringia for their fields."])
    """Whom the data thank; left out, the networks behind the archives that are learnt from, by their kind."""
    keywords: tuple[str, ...] = Field(default=(), examples=[["soil moisture", "Thuringia"]])
    """Words by which catalogues find the data; left out, common ones, with drought where it is published."""
    project: str = Field(default="", examples=["Soils of Thuringia"])
    """Project that the data belong to; left out, the product's name."""
    licence: str = Field(default="CC-BY-4.0", examples=["CC0-1.0"])
    """Licence of the data, by its SPDX name."""
    references: str = Field(
        default="O, Orth, Weber, Park (2022), Sci Data 9:701; O & Orth (2021), Sci Data 8:170",
        examples=["Curie (2024), Journal of Soils 1:1"],
    )
    """Papers that describe the data, with `; ` between them."""
    papers: tuple[str, ...] = Field(
        default=("10.1038/s41597-022-01785-6", "10.1038/s41597-021-00964-1"), examples=[["10.1234/soils.2024.1"]]
    )
    """DOIs of these papers, in the same order; left out, none where `references` are declared."""

    @model_validator(mode="before")
    @classmethod
    def _papers_of_references(cls, values: Any) -> Any:
        # The papers of the default references are not those of others.
        if isinstance(values, dict) and "references" in values and "papers" not in values:
            return {**values, "papers": ()}
        return values
