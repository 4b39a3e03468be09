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
        parts = {**value}
        limit = parts.pop("limit")
        return cls(**{key: tuple(items) for key, items in parts.items()}, limit=limit)


@dataclass(frozen=True)
class Scaling:
    """The scalers of one layer's network: daily inputs, static inputs, target."""

    dynamic: Scaler
    static: Scaler
    target: Scaler

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        return cls(**{key: Scaler.from_dict(part) for key, part in value.items()})


def transform_of(name: str) -> Transform:
    """Precipitation enters as ln(1 + P [mm d-1]); everything else as it is."""
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
        std.append(spread if spread > 1e-6 * max(abs(centre), 1e-6) else 1.0)
    return Scaler(names, transforms, tuple(mean), tuple(std), limit)


def transformed(names: tuple[str, ...], x: Tensor) -> Tensor:
    """[..., feature] as it enters the normalisation."""
    return _transformed(x, tuple(transform_of(name) for name in names))


def _transformed(x: Tensor, transforms: tuple[Transform, ...]) -> Tensor:
    columns = _logarithmic(transforms)
    x = x.clone() if columns else x
    for i in columns:
        x[..., i] = torch.log1p(x[..., i].clamp(min=0))
    return x


def _logarithmic(transforms: tuple[Transform, ...]) -> list[int]:
    return [i for i, t in enumerate(transforms) if t == "log1p"]
