"""Normalisation of inputs and target: fitted on training cells, applied everywhere, stored with the checkpoint."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

Transform = Literal["", "log1p"]


@dataclass(frozen=True)
class Scaler:
    """z = (transform(x) - mean) / std per feature, over the last axis.

    Attributes
    ----------
    names : features in order
    transforms : per feature, "log1p" for ln(1 + max(x, 0)) before normalising, or ""
    mean, std : per feature, in units of the transformed feature
    limit : normalised values are held within plus and minus this; None for no limit
    """

    names: tuple[str, ...]
    transforms: tuple[Transform, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    limit: float | None = None

    def apply(self, x: Tensor) -> Tensor:
        """Normalised [..., feature] of physical [..., feature]."""
        # In place after the first operation: a region's inputs are large, and every further copy is a pass over memory.
        z = (_transformed(x, self.transforms) - x.new_tensor(self.mean)).div_(x.new_tensor(self.std))
        return z if self.limit is None else z.clamp_(-self.limit, self.limit)

    def invert(self, z: Tensor) -> Tensor:
        """Physical [..., feature] of normalised [..., feature]."""
        x = z * z.new_tensor(self.std) + z.new_tensor(self.mean)
        for i in _logarithmic(self.transforms):
            x[..., i] = torch.expm1(x[..., i])
        return x

    def extended(self, name: str, mean: float, std: float) -> Self:
        """The same with one more untransformed feature at the end."""
        return replace(
            self,
            names=(*self.names, name),
            transforms=(*self.transforms, ""),
            mean=(*self.mean, mean),
            std=(*self.std, std),
        )

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The scaler that `dataclasses.asdict` made a table of."""
        columns = {**value}
        limit = columns.pop("limit")
        # JSON knows lists alone; tuples keep a scaler hashable and equal to the one that was written.
        return cls(**{key: tuple(items) for key, items in columns.items()}, limit=limit)


@dataclass(frozen=True)
class Scaling:
    """The scalers of one layer's network: daily inputs, static inputs, target."""

    dynamic: Scaler
    static: Scaler
    target: Scaler

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The scalers that `dataclasses.asdict` made a table of."""
        return cls(**{key: Scaler.from_dict(scaler) for key, scaler in value.items()})


def transform_of(name: str) -> Transform:
    """Precipitation enters as ln(1 + P [mm d-1]); every other variable is not transformed."""
    return "log1p" if name == "precipitation" else ""


def fit_scaler(names: tuple[str, ...], x: Tensor, limit: float | None = None) -> Scaler:
    """Scaler with the mean and standard deviation of [..., feature] over all leading axes, missing values ignored.

    A feature that does not vary keeps a standard deviation of 1, so it enters as zero.
    """
    transforms = tuple(transform_of(name) for name in names)
    mean, std = [], []
    for i, transform in enumerate(transforms):
        column = _transformed(x[..., i : i + 1], (transform,)).flatten().double()
        column = column[~column.isnan()]
        spread = float(column.std(correction=0)) if len(column) else 0.0
        centre = float(column.mean()) if len(column) else 0.0
        mean.append(centre)
        # What differs by rounding alone is a constant and must not be blown up. Relative to the largest value, whatever
        # the units: permeability is 1e-16 to 1e-10 m2.
        largest = float(column.abs().max()) if len(column) else 0.0
        std.append(spread if spread > 1e-6 * largest else 1.0)
    return Scaler(names, transforms, tuple(mean), tuple(std), limit)


def transformed(names: tuple[str, ...], x: Tensor) -> Tensor:
    """[..., feature] after its transform (the logarithm of precipitation) and before mean and std are taken off."""
    return _transformed(x, tuple(transform_of(name) for name in names))


def _transformed(x: Tensor, transforms: tuple[Transform, ...]) -> Tensor:
    columns = _logarithmic(transforms)
    # Copied only where something changes in it: without precipitation the caller's own tensor serves.
    x = x.clone() if columns else x
    for i in columns:
        # De-accumulated precipitation may be a rounding step below zero.
        x[..., i] = torch.log1p(x[..., i].clamp(min=0))
    return x


def _logarithmic(transforms: tuple[Transform, ...]) -> list[int]:
    return [i for i, t in enumerate(transforms) if t == "log1p"]
