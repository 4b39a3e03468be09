"""One product: everything that makes it, frozen and consistent."""

import hashlib
import math
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, Field, model_validator

from somo.core.variables import FORCING, Quantity
from somo.product.cluster import Cluster, LocalWorkers
from somo.product.declared import Declared
from somo.product.inputs import (
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
    Targets,
)
from somo.product.method import (
    Chunks,
    Compared,
    Drought,
    Frozen,
    Prediction,
    Search,
    Sequence,
    Training,
)
from somo.product.network import Ealstm, Network
from somo.product.publication import Checks, Publication, Report
from somo.product.static import Static


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

    name: Name = Field(examples=["Thuringia"])
    """Name of the product, by which its files are called."""
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$", examples=["1.1.0"])
    """Version that is made; a version has one method for ever."""
    root: str | None = Field(default=None, examples=["s3://bucket/prefix"])
    """Where results are kept and published, on any file system; `--root` of a command counts before it."""
    period: Period = Field(examples=[{"start": "2003-01-01", "end": "2020-12-31"}])
    """Days of the product."""
    grid: Grid = Field(examples=[{"kind": "forcing", "step_deg": 0.25}])
    """Cells of the product."""
    domains: dict[Name, Domain] = Field(default={}, examples=[{"us": {"grid": {"kind": "forcing", "step_deg": 0.25}}}])
    """Further domains that lend their stations, by name."""
    layers: tuple[Layer, ...] = Field(
        default_factory=_default_layers, min_length=1, examples=[[{"name": "top", "top_m": 0.0, "bottom_m": 0.05}]]
    )
    """Soil layers, downward; left out, 0-10, 10-30 and 30-50 cm."""
    forcing: dict[str, Forcing] = Field(
        min_length=1,
        examples=[{"air_temperature": {"url": "/data/t2m_{year}.nc", "variable": "t2m", "units": "K"}}],
    )
    """Dynamic variables by name."""
    static: dict[Name, Static] = Field(min_length=1, examples=[{"aridity": {"computed": "aridity"}}])
    """Static features by a name of your choice."""
    insitu: tuple[Insitu, ...] = Field(min_length=1)
    """Archives of in-situ measurements."""
    targets: Targets = Field(examples=[{"scaling": "pooled"}])
    """How sensors become what is learnt."""
    network: Network = Field(default=Ealstm(), examples=[{"kind": "lstm", "hidden": 64}])
    """Which network learns."""
    sequence: Sequence = Field(default=Sequence(), examples=[{"lookback": 180, "predict_last_n": 61}])
    """How much of the past a prediction sees, and how many days it makes at once."""
    training: Training = Field(default=Training(), examples=[{"members": 3, "folds": 10}])
    """How networks are fitted and cross-validated."""
    search: Search = Field(default=Search(), examples=[{"trials": 50}])
    """Hyperparameters to try before."""
    chunks: Chunks = Field(default=Chunks(), examples=[{"lat": 60, "lon": 48}])
    """How the published store is laid out."""
    prediction: Prediction = Field(default=Prediction(), examples=[{"precision": "bfloat16"}])
    """Arithmetic of the network in production."""
    cluster: Cluster = Field(default=LocalWorkers(), examples=[{"kind": "local", "workers": 8}])
    """Where Dask's workers come from."""
    drought: Drought = Field(default=Drought(), examples=[{"min_years": 30}])
    """Climatology of the drought classes."""
    frozen: Frozen | None = Field(default=None, examples=[{"variable": "skin_temperature", "days": 5}])
    """When the ground counts as frozen; left out, it never does."""
    compare: tuple[Compared, ...] = ()
    """Other soil-moisture products that the report compares with."""
    report: Report = Field(default=Report(), examples=[{"season": "MAM"}])
    """What the report looks at."""
    checks: Checks = Field(default=Checks(), examples=[{"max_skill_drop": 0.05}])
    """What a version must hold to be released."""
    publication: Publication = Field(default=Publication(), examples=[{"creator": "Hydrology group"}])
    """How readers and catalogues see the data described."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_forcing()
        self._check_static()
        self._check_chunks()
        self._check_frozen()
        self._check_drought()
        names = [layer.name for layer in self.layers]
        if len(set(names)) < len(names):
            raise ValueError(f"layers {names} are not all different")
        if self.home in self.domains:
            raise ValueError(f"domains.{self.home} bears the name of the domain that is predicted; give it another one")
        archives = [archive.name for archive in self.insitu]
        if repeated := sorted(name for name in set(archives) if archives.count(name) > 1):
            # A sensor of two archives counts once, which are told apart by their names.
            raise ValueError(f"insitu names {repeated[0]!r} twice; give each archive a name of its own")
        if all(archive.role == "independent" for archive in self.insitu):
            raise ValueError('insitu: every archive is independent; declare one to learn from, with role = "training"')
        products = [compared.name for compared in self.compare]
        if repeated := sorted(name for name in set(products) if products.count(name) > 1):
            raise ValueError(f"compare names {repeated[0]!r} twice; give each product a name of its own")
        for upper, lower in zip(self.layers, self.layers[1:], strict=False):
            if lower.top_m < upper.bottom_m:
                raise ValueError(f"{lower.name} begins at {lower.top_m} m, inside {upper.name}; list layers downward")
        return self

    def _check_forcing(self) -> None:
        serving = {term for forcing in self.forcing.values() for term in forcing.terms}
        for name, forcing in self.forcing.items():
            if name not in FORCING and (name not in serving or forcing.terms):
                near = get_close_matches(name, FORCING, 1)
                raise ValueError(
                    f"forcing.{name} is unknown; allowed are {', '.join(FORCING)}, and names that a sum_of or mean_of "
                    f"takes{f'; did you mean {near[0]}?' if near else ''}"
                )
            how = "sum_of" if forcing.sum_of else "mean_of"
            for term in forcing.terms:
                if term not in self.forcing or self.forcing[term].source is None:
                    raise ValueError(f"forcing.{name}.{how} names {term!r}, which has no [forcing.{term}] with a url")
                term_units, units = self.quantity(term).units, self.quantity(name).units
                if term_units != units:
                    raise ValueError(
                        f"forcing.{name}.{how} names {term!r}, which is in {term_units}, but {name} is in {units}; "
                        f"correct {how}"
                    )
        if not self.inputs:
            raise ValueError("no forcing variable has input = true")
        for domain, declared in self.domains.items():
            for name, forcing in declared.forcing.items():
                if name not in self.forcing or self.forcing[name].source is None or forcing.source is None:
                    raise ValueError(
                        f"domains.{domain}.forcing.{name} gives other files to a variable that is read from files: it "
                        f"needs url and variable, and so does [forcing.{name}]"
                    )

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

    def _check_frozen(self) -> None:
        if self.frozen is None:
            return
        name = self.frozen.variable
        if name not in self.forcing or self.quantity(name).units != "K":
            temperatures = [other for other in self.forcing if self.quantity(other).units == "K"]
            raise ValueError(
                f"frozen.variable {name!r} is no declared temperature; allowed are {', '.join(temperatures) or 'none'}"
            )
        # A region reads the spin-up before its first day, and so many days back it can tell frost.
        if self.frozen.days > self.sequence.lookback:
            raise ValueError(
                f"frozen.days {self.frozen.days} reaches back further than sequence.lookback {self.sequence.lookback}, "
                "for which forcing is read"
            )

    def _check_drought(self) -> None:
        base, days = self.drought.base, self.period
        if base is None:
            return
        # Days that no version holds would be counted as years of the climatology.
        if base.start < days.start or (days.end is not None and (base.end or base.start) > days.end):
            raise ValueError(
                f"drought.base {base.start} to {base.end or 'now'} reaches beyond the days of the product, "
                f"{days.start} to {days.end or 'now'}; give days of the product, or leave it out"
            )

    @property
    def region_days(self) -> int:
        """Days of one region, the unit of production: a whole number of sequences."""
        # At least a month: every region reads a year of spin-up, many-to-one networks (n = 1) would do so for each day.
        n = self.sequence.predict_last_n
        return self.chunks.days or n * math.ceil(30 / n)

    @property
    def chunk_days(self) -> int:
        """Days of one stored chunk."""
        return self.chunks.time or min(_divisors(self.region_days), key=lambda d: abs(math.log(d / 6)))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the dynamic inputs, in the order of declaration."""
        return tuple(name for name, forcing in self.forcing.items() if forcing.input and name in FORCING)

    @property
    def sources(self) -> dict[str, Source]:
        """What is read from files: variable -> source, and "variable.then.1" -> the source that continues it."""
        return {
            name if number == 0 else f"{name}.then.{number}": source
            for name, forcing in self.forcing.items()
            if forcing.source is not None
            for number, source in enumerate((forcing.source, *forcing.then))
        }

    def in_domain(self, domain: str) -> Self:
        """The product with the forcing files that a domain declares; the product itself where it declares none."""
        others = self.domains[domain].forcing if domain in self.domains else {}
        if not others:
            return self
        forcing = {
            name: declared.model_copy(update={"source": others[name].source, "then": others[name].then})
            if name in others
            else declared
            for name, declared in self.forcing.items()
        }
        domains = {**self.domains, domain: self.domains[domain].model_copy(update={"forcing": {}})}
        return self.model_copy(update={"forcing": forcing, "domains": domains})

    def quantity(self, name: str) -> Quantity:
        """Physical quantity of a variable or source; a variable with a name of its own has that of its sum or mean."""
        name = name.split(".then.")[0]
        if name in FORCING:
            return FORCING[name]
        parent = next(parent for parent, forcing in self.forcing.items() if name in forcing.terms)
        quantity = FORCING[parent]
        if self.forcing[parent].mean_of:
            return quantity
        # A term of a sum may be as large as the sum's limits in either direction: upward radiation is a negative term.
        largest = max(abs(quantity.valid_min), abs(quantity.valid_max))
        climate = max(abs(quantity.climate_min), abs(quantity.climate_max))
        return replace(
            quantity, valid_min=-largest, valid_max=largest, climate_min=-climate, climate_max=climate,
            standard_name="", long_name=name,
        )  # fmt: skip

    @property
    def depths(self) -> dict[str, str]:
        """Each layer's depth for people, as `0-10 cm`, by its name."""
        return {layer.name: f"{100 * layer.top_m:g}–{100 * layer.bottom_m:g} cm" for layer in self.layers}

    @property
    def home(self) -> str:
        """Name of the domain that is predicted."""
        return "home"

    def grids(self) -> dict[str, RegularGrid | ForcingGrid]:
        """Every domain's grid declaration, the predicted domain first."""
        return {self.home: self.grid, **{name: domain.grid for name, domain in self.domains.items()}}


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def without_places(declared: BaseModel) -> Any:
    """A table of a declaration without its URLs, for names of results that stay the same when files move."""
    return _drop_urls(declared.model_dump(mode="json"))


def _drop_urls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_urls(inner) for key, inner in value.items() if key != "url"}
    return [_drop_urls(inner) for inner in value] if isinstance(value, list) else value


def content_hash(*parts: object) -> str:
    """Sixteen hexadecimal digits that name a result by its inputs."""
    digest = hashlib.sha256()
    for value in parts:
        text = value.model_dump_json() if isinstance(value, BaseModel) else repr(value)
        # The zero keeps "a", "b" and "ab" apart.
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]
