"""How a product is made: network, sequence, training, search, chunks, cluster, checks, publication."""

import datetime as dt
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from somo.core.variables import SOIL_MOISTURE
from somo.product.declared import Declared
from somo.product.inputs import Name, Period
from somo.product.network import NETWORK_KINDS


class Sequence(Declared):
    """`lookback - 1` days of spin-up, then `predict_last_n` supervised or predicted days."""

    # The paper looks back a year. It predicts one day a sequence; blocks reach the same skill for a fortieth of the
    # arithmetic (docs/benchmarks.md).
    lookback: int = Field(default=365, ge=1)
    predict_last_n: int = Field(default=365, ge=1)
    # The paper's text ends the window on the day before the predicted one, SoMo.ml v1's code on that day itself.
    lag_days: Literal[0, 1] = 0

    @property
    def spinup_days(self) -> int:
        """Days of forcing needed before the first predicted day."""
        return self.lookback - 1 + self.lag_days

    @property
    def length(self) -> int:
        """Days in one sequence."""
        return self.lookback - 1 + self.predict_last_n


class Training(Declared):
    """One training run, the ensemble and the folds; `period` bounds what is learnt from and the climatology."""

    period: Period | None = None
    # The paper names neither loss nor optimiser: 30 epochs, batches of 256, 1e-3 and the clipped norm are those of
    # Kratzert et al. (2019), whose network it is; five members and five folds are the paper's.
    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["one-cycle", "step", "constant"] = "one-cycle"
    weight_decay: float = Field(default=0.0, ge=0)
    input_noise: float = Field(default=0.0, ge=0)
    static_noise: float = Field(default=0.0, ge=0)
    static_limit: float | None = Field(default=None, gt=0)
    clip_norm: float = Field(default=1.0, gt=0)
    members: int = Field(default=5, ge=1)
    seed: int = 0
    folds: int = Field(default=5, ge=2)
    fold_members: int = Field(default=1, ge=1)
    fold_distance_km: float = Field(default=0.0, ge=0)
    held_back: float = Field(default=0.1, ge=0, lt=1)
    patience: int = Field(default=5, ge=1)


class Range(Declared):
    """Values between two bounds that a search may try; whole numbers where both bounds are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low {self.low} and high {self.high} are no range{' of logarithms' if self.log else ''}")
        return self


class Search(Declared):
    """Hyperparameters to try: `space` names keys as `network.hidden` and gives a list of values or a `Range`."""

    trials: int = Field(default=20, ge=1)
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["median", "none"] = "median"
    seed: int = 0
    space: dict[str, tuple[int | float | str, ...] | Range] = Field(default={})

    @model_validator(mode="after")
    def _known(self) -> Self:
        allowed = {
            f"{table}.{key}"
            for table, models in (
                ("network", NETWORK_KINDS.values()),
                ("sequence", [Sequence]),
                ("training", [Training]),
            )
            for model in models
            for key in model.model_fields
        }
        if unknown := self.space.keys() - allowed:
            raise ValueError(f"space names {sorted(unknown)[0]!r}; allowed are {', '.join(sorted(allowed))}")
        return self


class Chunks(Declared):
    """Zarr layout: a region (a shard) of `days` x `tile_lat` x `tile_lon` cells, in chunks of `time` x `lat` x `lon`.

    Left out, `days` is the least multiple of the sequence's `predict_last_n` that reaches 30, and `time` the divisor of
    `days` nearest to 6. Chunks and tiles larger than the grid are cut to it. Where reading a tile's forcing in place
    costs more than `read_factor` times its own bytes, the forcing is first laid out by tile.
    """

    days: int | None = Field(default=None, ge=1)
    time: int | None = Field(default=None, ge=1)
    lat: int = Field(default=120, ge=1)
    lon: int = Field(default=96, ge=1)
    tile_lat: int = Field(default=120, ge=1)
    tile_lon: int = Field(default=96, ge=1)
    read_factor: float = Field(default=4.0, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for axis in ("lat", "lon"):
            chunk, tile = getattr(self, axis), getattr(self, f"tile_{axis}")
            if tile % chunk:
                raise ValueError(f"tile_{axis} {tile} is not a multiple of the chunk {axis} {chunk}")
        return self


class Prediction(Declared):
    """Arithmetic of the network in production; bfloat16 is refused on workers whose processor lacks it."""

    precision: Literal["float32", "bfloat16"] = "float32"


class Drought(Declared):
    """Climatology of the drought classes, from the days of `base`, or from all days of the product without one.

    With fewer complete years than `min_years` no drought is published: D4, the driest 2 percent, is one window in
    fifty. 30 years are advised (World Meteorological Organization's climate normals).
    """

    base: Period | None = None
    min_years: int = Field(default=10, ge=3)
    window_days: int = Field(default=30, ge=1)
    every_days: int = Field(default=10, ge=1)


class Frozen(Declared):
    """Days on which the ground counts as frozen: `variable` was below `below_c` degrees C on each of the last `days`.

    Measurements in frozen soil are left out of the targets, so that the networks know nothing of it.
    """

    variable: str = "skin_temperature"
    below_c: float = 0.0
    days: int = Field(default=3, ge=1)


class ComparedLayer(Declared):
    """One variable of another product and the interval of depth that it stands for."""

    variable: str
    top_m: float = Field(ge=0)
    bottom_m: float = Field(gt=0)


class Compared(Declared):
    """Another soil-moisture product to compare with: where its files are and which depths its variables stand for.

    `url` holds `{year}` and, where variables are in files of their own, `{variable}`; `*` is a wildcard. A product of
    one variable has `variable`, `top_m` and `bottom_m` in its own table, others have a list `layers` of them. `units`
    are those of files that name none.
    """

    name: Name
    url: str
    layers: tuple[ComparedLayer, ...] = Field(min_length=1)
    units: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _single(cls, value: Any) -> Any:
        """The declaration with `layers`, where the keys of a single layer stand in the product's own table."""
        keys = tuple(ComparedLayer.model_fields)
        if not isinstance(value, dict) or not any(key in value for key in keys):
            return value
        if "layers" in value:
            raise ValueError("give either variable, top_m and bottom_m, or layers")
        layer = {key: value[key] for key in keys if key in value}
        return {**{key: item for key, item in value.items() if key not in keys}, "layers": [layer]}


class Report(Declared):
    """What the validation report looks at: a season, and the year that is set against all others.

    Without `year` it is 2015, the year of the paper's figure, where the product holds it, and else the last year.
    """

    season: Literal["DJF", "MAM", "JJA", "SON"] = "JJA"
    year: int | None = None


class Checks(Declared):
    """The gate: a version that breaks one of these is not released.

    `valid_min` and `valid_max` (m3 m-3) lie within the `valid_range` that published files declare. `min_coverage` and
    `max_coverage` bound the share of measurements at held-back cells that the 90 % interval of any layer holds.
    """

    valid_min: float = Field(default=SOIL_MOISTURE.valid_min, ge=SOIL_MOISTURE.valid_min)
    valid_max: float = Field(default=SOIL_MOISTURE.valid_max, le=SOIL_MOISTURE.valid_max)
    max_nan_fraction: float = Field(default=0.0, ge=0, le=1)
    max_seam: float = Field(default=0.01, gt=0)
    max_block_jump: float = Field(default=0.01, gt=0)
    max_year_jump: float = Field(default=0.01, gt=0)
    max_skill_drop: float = Field(default=0.02, ge=0)
    min_applicable: float = Field(default=0.0, ge=0, le=1)
    min_coverage: float = Field(default=0.85, ge=0, le=1)
    max_coverage: float = Field(default=0.95, ge=0, le=1)


class Author(Declared):
    """One person who made the data, in the order in which they are cited."""

    family: str
    given: str
    orcid: str = Field(default="", pattern=r"^(\d{4}-\d{4}-\d{4}-\d{3}[\dX])?$")
    affiliation: str = ""


class Publication(Declared):
    """How readers and catalogues see the data described; `date` is the day by which this version is dated and cited.

    Without `authors`, `creator` is cited. `papers` are the DOIs of the papers that describe the data. `address` is the
    https address at which readers find the root; pages that show a link's picture want it whole.
    """

    title: str = ""
    summary: str = ""
    authors: tuple[Author, ...] = ()
    creator: str = "SoMo developers"
    creator_url: str = ""
    creator_email: str = ""
    institution: str = ""
    publisher: str = ""
    date: dt.date | None = None
    doi: str = ""
    address: str = Field(default="", pattern=r"^(https?://.+)?$")
    licence: str = "CC-BY-4.0"
    references: str = "O, Orth, Weber, Park (2022), Sci Data 9:701; O & Orth (2021), Sci Data 8:170"
    papers: tuple[str, ...] = ("10.1038/s41597-022-01785-6", "10.1038/s41597-021-00964-1")
