"""One product, declared in one TOML file: `read_product` turns it into frozen, validated values."""

import datetime as dt
import hashlib
import math
import re
import string
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from somo.core.variables import FORCING, SOIL_MOISTURE

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Statistic = Literal["mean", "std", "aridity"]


class ProductError(ValueError):
    """A product declaration that cannot be used; the text names file, key, value and what is allowed."""


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Period(_Declared):
    """Days of the product, both included; without `end` it reaches as far as the forcing does."""

    start: dt.date
    end: dt.date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class RegularGrid(_Declared):
    """Cells of `step_deg` degrees between the outer edges given in degrees."""

    kind: Literal["regular"] = "regular"
    west: float
    east: float
    south: float
    north: float
    step_deg: float = Field(gt=0)

    @model_validator(mode="after")
    def _whole_cells(self) -> Self:
        for axis, low, high in (("longitude", self.west, self.east), ("latitude", self.south, self.north)):
            cells = (high - low) / self.step_deg
            if cells < 0.5 or abs(cells - round(cells)) > 1e-6:
                raise ValueError(f"{axis} {low}..{high} is not a whole number of cells of {self.step_deg} degrees")
        return self


class ForcingGrid(_Declared):
    """Cells at the forcing's own coordinates, which may be irregular.

    `step_deg` is the width of one cell; it ends halfway to a neighbour that is closer.
    """

    kind: Literal["forcing"]
    step_deg: float = Field(gt=0)


Grid = Annotated[RegularGrid | ForcingGrid, Field(discriminator="kind")]


class Domain(_Declared):
    """A further domain that lends its stations to training and is not predicted; fills `{domain}` in URLs."""

    grid: Grid


class Layer(_Declared):
    """A soil layer, metres below the surface."""

    name: Name
    top_m: float = Field(ge=0)
    bottom_m: float = Field(gt=0)

    @model_validator(mode="after")
    def _downward(self) -> Self:
        if self.bottom_m <= self.top_m:
            raise ValueError(f"bottom_m {self.bottom_m} must lie below top_m {self.top_m}")
        return self

    @property
    def depth_m(self) -> float:
        return round((self.top_m + self.bottom_m) / 2, 6)


class Source(_Declared):
    """Gridded files over time: where they are and what their numbers mean."""

    url: str
    variable: str
    units: str
    frequency: Literal["daily", "sub-daily"] = "daily"
    kind: Literal["instantaneous", "accumulated"] = "instantaneous"
    accumulation: Literal["day", "step"] = "day"
    provisional_days: int | None = Field(default=None, ge=0)
    expver: str | None = None

    @model_validator(mode="after")
    def _url_pattern(self) -> Self:
        fields = {f for _, f, _, _ in string.Formatter().parse(self.url) if f is not None}
        if unknown := fields - {"year", "month", "domain"}:
            raise ValueError(
                f"url {self.url!r} has {{{sorted(unknown)[0]}}}; allowed are {{year}}, {{month}}, {{domain}}"
            )
        if "month" in fields and "year" not in fields:
            raise ValueError(f"url {self.url!r} has {{month}} without {{year}}")
        return self


class Forcing(_Declared):
    """One dynamic variable: read from a `Source`, or the sum of other declared variables (`sum_of`).

    `input = false` declares a variable that only serves others (a sum, a climatology) and not the network.
    """

    source: Source | None = None
    sum_of: tuple[str, ...] = ()
    input: bool = True

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "source" in value:
            return value
        own = {k: v for k, v in value.items() if k in ("sum_of", "input")}
        rest = {k: v for k, v in value.items() if k not in own}
        return {**own, "source": rest} if rest or not own.get("sum_of") else own

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.source is not None and self.sum_of:
            raise ValueError("give either url and variable, or sum_of, not both")
        return self


class Static(_Declared):
    """One static feature per cell: a variable of a file, or computed from the forcing's climatology.

    `gaps = "mean"` fills missing land cells with the mean over cells; `categories` turns class numbers into
    one 0/1 feature each. `within_cell` takes a file finer than the grid and keeps that statistic of what lies in a
    cell.
    """

    url: str | None = None
    variable: str | None = None
    units: str = "1"
    within_cell: Literal["mean", "std"] | None = None
    gaps: Literal["error", "mean"] = "error"
    categories: tuple[int, ...] = ()
    computed: Statistic | None = None
    of: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.computed is None) == (self.url is None):
            raise ValueError(f"give either url and variable, or computed (one of {', '.join(get_args(Statistic))})")
        if self.url is not None and self.variable is None:
            raise ValueError("variable is missing: the name inside the file")
        if self.computed in ("mean", "std") and self.of is None:
            raise ValueError(f'computed = "{self.computed}" needs of = the name of a forcing variable')
        return self


class Insitu(_Declared):
    """An archive of in-situ soil moisture; `independent` archives are kept out of training, for validation."""

    name: Name
    url: str
    format: Literal["ismn", "cosmos"] = "ismn"
    role: Literal["training", "independent"] = "training"
    min_subdaily: int = Field(default=6, ge=1)


class ReferenceLayer(_Declared):
    """One soil layer of the reference model used for scaling."""

    source: Source
    top_m: float = Field(ge=0)
    bottom_m: float = Field(gt=0)


class Targets(_Declared):
    """How sensors become targets (METHOD.md, "In-situ targets")."""

    scaling: Literal["reference", "pooled", "none"] = "reference"
    min_days: int = Field(default=90, ge=2)
    reference: tuple[ReferenceLayer, ...] = ()

    @model_validator(mode="after")
    def _reference_given(self) -> Self:
        if (self.scaling == "reference") != bool(self.reference):
            raise ValueError(
                f'scaling = "{self.scaling}" and {len(self.reference)} [[targets.reference]] layers contradict'
            )
        return self


class Network(_Declared):
    """EA-LSTM hyperparameters."""

    hidden: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    forget_bias: float = 5.0
    head_layers: int = Field(default=1, ge=1)


class Sequence(_Declared):
    """`lookback - 1` days of spin-up, then `predict_last_n` supervised or predicted days."""

    lookback: int = Field(default=365, ge=1)
    predict_last_n: int = Field(default=365, ge=1)
    lag_days: Literal[0, 1] = 0

    @property
    def spinup_days(self) -> int:
        """Days of forcing needed before the first predicted day."""
        return self.lookback - 1 + self.lag_days

    @property
    def length(self) -> int:
        """Days in one sequence."""
        return self.lookback - 1 + self.predict_last_n


class Training(_Declared):
    """One training run, the ensemble and the folds; `period` bounds what is learnt from and the climatology."""

    period: Period | None = None
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


class Range(_Declared):
    """Values between two bounds that a search may try; whole numbers where both bounds are."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"low {self.low} and high {self.high} are no range{' of logarithms' if self.log else ''}")
        return self


class Search(_Declared):
    """Hyperparameters to try: `space` names keys as `network.hidden` and gives a list of values or a `Range`."""

    trials: int = Field(default=20, ge=1)
    sampler: Literal["tpe", "random"] = "tpe"
    pruner: Literal["median", "none"] = "median"
    seed: int = 0
    space: dict[str, tuple[int | float | str, ...] | Range] = {}

    @model_validator(mode="after")
    def _known(self) -> Self:
        allowed = {
            f"{table}.{key}"
            for table, model in (("network", Network), ("sequence", Sequence), ("training", Training))
            for key in model.model_fields
        }
        if unknown := self.space.keys() - allowed:
            raise ValueError(f"space names {sorted(unknown)[0]!r}; allowed are {', '.join(sorted(allowed))}")
        return self


class Chunks(_Declared):
    """Zarr layout: a region (a shard) of `days` x `tile_lat` x `tile_lon` cells, in chunks of `time` x `lat` x `lon`.

    Left out, `days` is the least multiple of the sequence's `predict_last_n` that reaches 30, and `time` the divisor of
    `days` nearest to 6. What is larger than the grid is cut to it. Where reading a tile's forcing in place costs more
    than `read_factor` times its own bytes, the forcing is first laid out by tile.
    """

    days: int | None = Field(default=None, ge=1)
    time: int | None = Field(default=None, ge=1)
    lat: int = Field(default=60, ge=1)
    lon: int = Field(default=96, ge=1)
    tile_lat: int = Field(default=60, ge=1)
    tile_lon: int = Field(default=96, ge=1)
    read_factor: float = Field(default=4.0, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for axis in ("lat", "lon"):
            chunk, tile = getattr(self, axis), getattr(self, f"tile_{axis}")
            if tile % chunk:
                raise ValueError(f"tile_{axis} {tile} is not a multiple of the chunk {axis} {chunk}")
        return self


class Prediction(_Declared):
    """Arithmetic of the network in production; bfloat16 is refused on workers whose processor lacks it."""

    precision: Literal["float32", "bfloat16"] = "float32"


class Cluster(_Declared):
    """Where Dask comes from; `workers` 0 means as many as the machine has cores."""

    kind: Literal["local", "address", "kubernetes", "slurm"] = "local"
    workers: int = Field(default=0, ge=0)
    gpu_workers: int = Field(default=0, ge=0)
    memory_gb: float = Field(default=4.0, gt=0)
    address: str | None = None
    queue: str | None = None
    namespace: str | None = None
    image: str | None = None
    walltime: str = "04:00:00"


class Drought(_Declared):
    """Climatology of the drought classes; without a base period the whole product serves."""

    base: Period | None = None
    window_days: int = Field(default=30, ge=1)
    every_days: int = Field(default=10, ge=1)


class Compared(_Declared):
    """Another soil-moisture product to compare with; `format` says which of its variables stand for which layer."""

    name: Name
    url: str
    format: Literal["somo-v1", "era5-land", "gleam", "clm-da", "esa-cci"]
    variable: str | None = None


class Checks(_Declared):
    """The gate: a version that breaks one of these is not released.

    `valid_min` and `valid_max` (m3 m-3) lie within the `valid_range` that published files declare.
    """

    valid_min: float = Field(default=SOIL_MOISTURE.valid_min, ge=SOIL_MOISTURE.valid_min)
    valid_max: float = Field(default=SOIL_MOISTURE.valid_max, le=SOIL_MOISTURE.valid_max)
    max_nan_fraction: float = Field(default=0.0, ge=0, le=1)
    max_seam: float = Field(default=0.01, gt=0)
    max_block_jump: float = Field(default=0.01, gt=0)
    max_year_jump: float = Field(default=0.01, gt=0)
    max_skill_drop: float = Field(default=0.02, ge=0)
    min_applicable: float = Field(default=0.0, ge=0, le=1)


class Publication(_Declared):
    """What readers and catalogues are told about the data; `date` is the day this version is dated and cited by."""

    title: str = ""
    summary: str = ""
    creator: str = "SoMo developers"
    creator_url: str = ""
    creator_email: str = ""
    institution: str = ""
    publisher: str = ""
    date: dt.date | None = None
    doi: str = ""
    licence: str = "CC-BY-4.0"
    references: str = "O, Orth, Weber, Park (2022), Sci Data 9:701; O & Orth (2021), Sci Data 8:170"


def _default_layers() -> tuple[Layer, ...]:
    return (
        Layer(name="layer1", top_m=0.0, bottom_m=0.1),
        Layer(name="layer2", top_m=0.1, bottom_m=0.3),
        Layer(name="layer3", top_m=0.3, bottom_m=0.5),
    )


class Product(_Declared):
    """Everything that makes one product; equal declarations make equal bytes."""

    name: Name
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    root: str | None = None
    period: Period
    grid: Grid
    domains: dict[Name, Domain] = {}
    layers: tuple[Layer, ...] = Field(default_factory=_default_layers, min_length=1)
    forcing: dict[str, Forcing] = Field(min_length=1)
    static: dict[Name, Static] = Field(min_length=1)
    insitu: tuple[Insitu, ...] = Field(min_length=1)
    targets: Targets
    network: Network = Network()
    sequence: Sequence = Sequence()
    training: Training = Training()
    search: Search = Search()
    chunks: Chunks = Chunks()
    prediction: Prediction = Prediction()
    cluster: Cluster = Cluster()
    drought: Drought = Drought()
    compare: tuple[Compared, ...] = ()
    checks: Checks = Checks()
    publication: Publication = Publication()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_forcing()
        self._check_static()
        self._check_chunks()
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise ValueError(f"layers {names} are not all different")
        for upper, lower in zip(self.layers, self.layers[1:], strict=False):
            if lower.top_m < upper.bottom_m:
                raise ValueError(f"{lower.name} begins at {lower.top_m} m, inside {upper.name}; list layers downward")
        return self

    def _check_forcing(self) -> None:
        for name, forcing in self.forcing.items():
            if name not in FORCING:
                raise ValueError(f"forcing.{name} is unknown; allowed are {', '.join(FORCING)}")
            for part in forcing.sum_of:
                if part not in self.forcing or self.forcing[part].source is None:
                    raise ValueError(f"forcing.{name}.sum_of names {part!r}, which has no [forcing.{part}] with a url")
        if not self.inputs:
            raise ValueError("no forcing variable has input = true")

    def _check_static(self) -> None:
        for name, static in self.static.items():
            needed = ("net_radiation", "precipitation") if static.computed == "aridity" else (static.of,)
            for variable in needed:
                if variable is not None and variable not in self.forcing:
                    raise ValueError(f"static.{name} is computed of {variable!r}, which is not a declared forcing")

    def _check_chunks(self) -> None:
        n = self.sequence.predict_last_n
        if self.region_days % n:
            raise ValueError(
                f"chunks.days {self.region_days} is not a multiple of sequence.predict_last_n {n}: "
                "a region is made of whole sequences"
            )
        if self.region_days % self.chunk_days:
            allowed = ", ".join(str(d) for d in _divisors(self.region_days))
            raise ValueError(
                f"chunks.time {self.chunk_days} does not divide the {self.region_days} days of a region "
                f"(sequence.predict_last_n {n}); choose one of {allowed}, or leave it out"
            )

    @property
    def region_days(self) -> int:
        """Days of one region, the unit of production: a whole number of sequences."""
        n = self.sequence.predict_last_n
        return self.chunks.days or n * math.ceil(30 / n)

    @property
    def chunk_days(self) -> int:
        """Days of one stored chunk."""
        return self.chunks.time or min(_divisors(self.region_days), key=lambda d: abs(math.log(d / 6)))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the dynamic inputs, in the order of declaration."""
        return tuple(name for name, forcing in self.forcing.items() if forcing.input)

    @property
    def sources(self) -> dict[str, Source]:
        """The forcing variables that are read from files."""
        return {name: f.source for name, f in self.forcing.items() if f.source is not None}

    @property
    def home(self) -> str:
        """Name of the domain that is predicted."""
        return "home"

    def grids(self) -> dict[str, RegularGrid | ForcingGrid]:
        """Every domain's grid declaration, the predicted domain first."""
        return {self.home: self.grid, **{name: domain.grid for name, domain in self.domains.items()}}


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def content_hash(*parts: object) -> str:
    """Sixteen hexadecimal digits that name a result by its inputs."""
    digest = hashlib.sha256()
    for part in parts:
        text = part.model_dump_json() if isinstance(part, BaseModel) else repr(part)
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def read_product(path: str | Path, environ: Mapping[str, str] | None = None) -> Product:
    """Read and validate a product declaration.

    Parameters
    ----------
    path : the TOML file
    environ : values for `${NAME}` in any string of the file

    Raises
    ------
    ProductError
        naming file, key, value and what is allowed
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise ProductError(f"{path}: cannot be read ({error.strerror}); give the path of a product TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise ProductError(f"{path}: not valid TOML: {error}") from error
    try:
        return Product.model_validate(_expand(raw, environ or {}, str(path)))
    except pydantic.ValidationError as error:
        raise ProductError("\n".join(_explain(path, error))) from error


def _expand(value: Any, environ: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {k: _expand(v, environ, f"{where}: {k}") for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(v, environ, where) for v in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ProductError(
                f"{where} = {value!r}: environment variable {match[1]} is not set; export {match[1]}=..."
            )
        return environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", replace, value)


def _explain(path: Path, error: pydantic.ValidationError) -> Iterator[str]:
    for e in error.errors():
        location = _toml_location(e["loc"])
        key = ".".join(location) or "product"
        if e["type"] == "extra_forbidden":
            allowed = ", ".join(_allowed(e["loc"][:-1]))
            yield f"{path}: {key} = {e['input']!r} is unknown; allowed here: {allowed}"
        elif e["type"] == "missing":
            yield f"{path}: {key} is missing; add it"
        else:
            got = "" if isinstance(e["input"], dict | BaseModel) else f" = {e['input']!r}"
            yield f"{path}: {key}{got}: {e['msg'].removeprefix('Value error, ')}"


def _toml_location(location: tuple[int | str, ...]) -> list[str]:
    """Where a value stands in the file: without the tag of a grid and the table that holds a variable's source."""
    parts = [str(p) for p in location]
    return [
        p
        for before, p in zip(["", *parts], parts, strict=False)
        if not (before == "grid" and p in ("regular", "forcing")) and not (parts[0] == "forcing" and p == "source")
    ]


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    """Keys that may stand at a location of the TOML, from the models themselves."""
    models: list[type[BaseModel]] = [Product]
    for part in location:
        if len(models) > 1:
            models = [m for m in models if part in get_args(m.model_fields["kind"].annotation)]
        elif str(part) in models[0].model_fields:
            models = _models_in(models[0].model_fields[str(part)].annotation)
    keys = {key for model in models for key in model.model_fields}
    if location[:1] == ("forcing",):  # a source's keys stand beside those of the variable
        keys |= set(Forcing.model_fields) | set(Source.model_fields)
        keys -= {"source"}
    return sorted(keys)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Declarations behind a plain, optional, dict, tuple or union annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
