"""One product: everything that makes it, frozen and consistent."""

import hashlib
import math
from typing import Self

from pydantic import BaseModel, Field, model_validator

from somo.core.variables import FORCING
from somo.product.cluster import Cluster, LocalWorkers
from somo.product.inputs import (
    Declared,
    Domain,
    Forcing,
    ForcingGrid,
    Grid,
    Insitu,
    Layer,
    Name,
    Period,
    RegularGrid,
    Source,
    Static,
    Targets,
)
from somo.product.method import (
    Checks,
    Chunks,
    Compared,
    Drought,
    Network,
    Prediction,
    Publication,
    Report,
    Search,
    Sequence,
    Training,
)


class ProductError(ValueError):
    """A product declaration that cannot be used; the text names file, key, value and what is allowed."""


def _default_layers() -> tuple[Layer, ...]:
    return (
        Layer(name="layer1", top_m=0.0, bottom_m=0.1),
        Layer(name="layer2", top_m=0.1, bottom_m=0.3),
        Layer(name="layer3", top_m=0.3, bottom_m=0.5),
    )


class Product(Declared):
    """Everything that makes one product; equal declarations make equal bytes."""

    name: Name
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    root: str | None = None
    period: Period
    grid: Grid
    domains: dict[Name, Domain] = Field(default={})
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
    cluster: Cluster = LocalWorkers()
    drought: Drought = Drought()
    compare: tuple[Compared, ...] = ()
    report: Report = Report()
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
