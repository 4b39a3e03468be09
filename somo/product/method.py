"""How a product is made: sequence, training, search, chunks, prediction, drought, and what it is compared with."""

from string import Formatter
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from somo.product.declared import Declared
from somo.product.inputs import Name, Period, require_downward
from somo.product.network import NETWORK_KINDS
from somo.product.patterns import DIGITS, pattern_faults


class Sequence(Declared):
    """`lookback - 1` days of spin-up, then `predict_last_n` supervised or predicted days."""

    # The paper looks back a year. It predicts one day a sequence; blocks reach the same skill for a fortieth of the
    # arithmetic (docs/benchmarks.md).
    lookback: int = Field(default=365, ge=1, examples=[180])
    """Days of forcing up to the first predicted day, that day included."""
    predict_last_n: int = Field(default=365, ge=1, examples=[61])
    """Days that one sequence predicts, and days of one published block."""
    # The paper's text ends the window on the day before the predicted one, SoMo.ml v1's code on that day itself.
    lag_days: Literal[0, 1] = 0
    """Whether a day is predicted from the forcing up to itself (0) or up to the day before (1)."""

    @property
    def spinup_days(self) -> int:
        """Days of forcing needed before the first predicted day."""
        return self.lookback - 1 + self.lag_days

    @property
    def length(self) -> int:
        """Days in one sequence."""
        return self.lookback - 1 + self.predict_last_n


class Training(Declared):
    """One training run, the ensemble and the folds."""

    period: Period | None = None
    """Days that are learnt from and that the forcing's climatology is of; left out, the days of the product."""
    # The paper names neither loss nor optimiser: 30 epochs, batches of 256, 1e-3 and the clipped norm are those of
    # Kratzert et al. (2019), whose network it is; five members and five folds are the paper's.
    epochs: int = Field(default=30, ge=1, examples=[60])
    """Most passes over the training sequences."""
    batch_size: int = Field(default=256, ge=1, examples=[64])
    """Sequences of one step of the optimiser."""
    learning_rate: float = Field(default=1e-3, gt=0, examples=[0.02])
    """Largest step size of Adam."""
    schedule: Literal["one-cycle", "step", "constant"] = "one-cycle"
    """How the step size changes over a run: up and down again, a half and then a tenth late on, or not at all."""
    weight_decay: float = Field(default=0.0, ge=0, examples=[0.1])
    """Pull of the weights towards zero, as in AdamW."""
    input_noise: float = Field(default=0.0, ge=0, examples=[0.1])
    """Noise on the forcing while training, in standard deviations."""
    static_noise: float = Field(default=0.0, ge=0, examples=[0.3])
    """Noise on static features while training, in standard deviations."""
    static_limit: float | None = Field(default=None, gt=0, examples=[3.0])
    """Standard deviations within which static features are held; a cell unlike all others is held to that edge."""
    clip_norm: float = Field(default=1.0, gt=0, examples=[0.5])
    """Norm to which larger gradients are scaled down."""
    members: int = Field(default=5, ge=1, examples=[3])
    """Networks of the ensemble that is published."""
    seed: int = Field(default=0, examples=[42])
    """Where every random start comes from; equal seeds give equal bytes."""
    folds: int = Field(default=5, ge=2, examples=[10])
    """Parts of the training cells, each predicted by networks that never saw it; skill and coverage are of these
    predictions."""
    fold_members: int = Field(default=1, ge=1, examples=[2])
    """Networks of one fold."""
    fold_distance_km: float = Field(default=0.0, ge=0, examples=[25.0])
    """Least distance between cells of different folds, kilometres."""
    held_back: float = Field(default=0.1, ge=0, lt=1, examples=[0.2])
    """Share of the cells of one training that are not fitted and decide when it stops; 0 runs all epochs. Scores are
    never of them: those are of the cells of the fold that a network is not trained on."""
    patience: int = Field(default=5, ge=1, examples=[10])
    """Epochs without a better result at the cells of `held_back` after which a network stops."""


class Range(Declared):
    """Values between two bounds that a search may try; whole numbers where both bounds are."""

    low: int | float = Field(examples=[0.0001])
    """Smallest value."""
    high: int | float = Field(examples=[0.01])
    """Largest value."""
    log: bool = False
    """Whether values are drawn evenly by their logarithm."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low {self.low} and high {self.high} are no range{' of logarithms' if self.log else ''}")
        return self


class Search(Declared):
    """Hyperparameters that `somo search` tries."""

    trials: int = Field(default=20, ge=1, examples=[50])
    """Settings that are tried."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How the next settings are proposed: from what the trials before have shown (TPE), or at random."""
    pruner: Literal["median", "none"] = "median"
    """Whether a trial is given up after a fold in which it is worse than the median of the others."""
    seed: int = Field(default=0, examples=[42])
    """Where the proposals come from."""
    space: dict[str, tuple[int | float | str, ...] | Range] = Field(
        default={},
        examples=[{"network.hidden": [64, 128], "training.learning_rate": {"low": 0.0001, "high": 0.01, "log": True}}],
    )
    """Keys of network, sequence and training to try, each with a list of values or a range."""

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

    Chunks and tiles larger than the grid are cut to it.
    """

    days: int | None = Field(default=None, ge=1, examples=[365])
    """Days of a region; left out, the least multiple of the sequence's `predict_last_n` that reaches 30."""
    time: int | None = Field(default=None, ge=1, examples=[5])
    """Days of a chunk; left out, the divisor of `days` nearest to 6."""
    lat: int = Field(default=120, ge=1, examples=[60])
    """Rows of a chunk."""
    lon: int = Field(default=96, ge=1, examples=[48])
    """Columns of a chunk."""
    tile_lat: int = Field(default=120, ge=1, examples=[240])
    """Rows of a region, a multiple of `lat`."""
    tile_lon: int = Field(default=96, ge=1, examples=[192])
    """Columns of a region, a multiple of `lon`."""
    read_factor: float = Field(default=4.0, ge=1, examples=[2.0])
    """How many times a tile's own bytes reading its forcing in place may cost; where it costs more, the forcing is
    first laid out by tile."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for axis in ("lat", "lon"):
            chunk, tile = getattr(self, axis), getattr(self, f"tile_{axis}")
            if tile % chunk:
                raise ValueError(f"tile_{axis} {tile} is not a multiple of the chunk {axis} {chunk}")
        return self


class Prediction(Declared):
    """Arithmetic of the network in production."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Numbers that the network computes with; bfloat16 is refused on workers whose processor lacks it."""


class Drought(Declared):
    """Climatology of the drought classes.

    30 years are advised (World Meteorological Organization's climate normals): D4, the driest 2 percent, is one window
    in fifty.
    """

    base: Period | None = None
    """Days that the climatology is of, among those of the product; left out, all of them, or the years that were
    complete when the drought of a product without an end was first published."""
    min_years: int = Field(default=10, ge=3, examples=[30])
    """Complete years below which no drought is published."""
    window_days: int = Field(default=30, ge=1, examples=[90])
    """Days whose mean is classed; the calibration beside the networks is made for them, so a change trains anew."""
    every_days: int = Field(default=10, ge=1, le=365, examples=[5])
    """Days from the end of one window to that of the next."""

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        # Of longer windows the years that are enough for drought hold fewer than two of a season, which have no spread.
        if self.window_days > 365 * (self.min_years - 2):
            raise ValueError(
                f"window_days {self.window_days} leave fewer than two windows of a season in min_years "
                f"{self.min_years}; give at most {365 * (self.min_years - 2)} days, or more years"
            )
        return self


class Frozen(Declared):
    """Days on which the ground counts as frozen, which the published store marks.

    Measurements that their archive flags as frozen are left out of the targets: the networks know nothing of such days.
    """

    variable: str = Field(default="skin_temperature", examples=["air_temperature"])
    """Temperature of the forcing that tells frost."""
    below_c: float = Field(default=0.0, examples=[-1.0])
    """Degrees C below which it has to be."""
    days: int = Field(default=3, ge=1, examples=[5])
    """Days in a row on which it has been below, the day itself included."""


class ComparedLayer(Declared):
    """One variable of another product and the interval of depth that it stands for."""

    variable: str = Field(examples=["swvl1"])
    """Name of the variable inside the files."""
    top_m: float = Field(ge=0, examples=[0.0])
    """Upper end of the depths it stands for, metres below the surface."""
    bottom_m: float = Field(gt=0, examples=[0.07])
    """Lower end of the depths it stands for, metres below the surface."""
    select: dict[str, int | float | str] = Field(default_factory=dict, examples=[{"depth": 0.05}])
    """What to take along further dimensions: a value of the coordinate or, without a coordinate, a number from 0."""

    @model_validator(mode="after")
    def _downward(self) -> Self:
        require_downward(self.top_m, self.bottom_m)
        return self

    @property
    def label(self) -> str:
        """The variable, and what is selected of it: depths of one variable are layers of their own."""
        return " ".join([self.variable, *(f"{dim} = {choice}" for dim, choice in sorted(self.select.items()))])


class Compared(Declared):
    """Another soil-moisture product to compare with.

    A product of one variable has `variable`, `top_m` and `bottom_m` in its own table in place of `layers`.
    """

    name: Name = Field(examples=["ERA5-Land"])
    """Name of the product in figures and tables."""
    url: str = Field(examples=["/data/era5land/{variable}_{year}*.nc"])
    """Place of its files, with `{year}`, `{month}`, `{day}`, `{doy}`, `*`, `?` and, where variables are in files of
    their own, `{variable}`."""
    layers: tuple[ComparedLayer, ...] = Field(
        min_length=1, examples=[[{"variable": "swvl1", "top_m": 0.0, "bottom_m": 0.07}]]
    )
    """Its variables and the depths that each stands for."""
    units: str | None = Field(default=None, examples=["m3 m-3"])
    """Units of files that name none."""

    @field_validator("url")
    @classmethod
    def _fields(cls, url: str) -> str:
        try:
            fields = {field for _, field, _, _ in Formatter().parse(url) if field is not None}
        except ValueError as error:
            raise ValueError(f"url {url!r} has unbalanced braces ({error})") from error
        if unknown := sorted(fields - {*DIGITS, "variable"}):
            allowed = ", ".join(f"{{{field}}}" for field in DIGITS)
            raise ValueError(f"url {url!r} has {{{unknown[0]}}}; allowed are {allowed}, {{variable}}, * and ?")
        if fault := pattern_faults(url.replace("{variable}", "variable")):
            raise ValueError(fault)
        return url

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
