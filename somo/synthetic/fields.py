"""Smooth random fields on rectilinear grids, from which the invented land and weather are made."""

import zlib
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and on what they are for, not on what was drawn before."""
    # Python's own hash of a text differs from process to process.
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


@dataclass(frozen=True, eq=False)
class Waves:
    """A sum of plane waves with random directions and phases: mean 0, variance 1, correlated over `length_deg`.

    With `period_days` they travel eastward, every wave at its own pace around that period.
    """

    east: Array
    north: Array
    phase: Array
    frequency: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, length_deg: float, period_days: float = np.inf, modes: int = 40) -> Self:
        """Wave numbers are normal with standard deviation 1 / length (a Gaussian correlation function)."""
        east, north = rng.standard_normal((2, modes)) / length_deg
        pace = 2 * np.pi / period_days * rng.lognormal(0, 0.4, modes)
        # cos(k x + w t) travels towards larger x where w has the other sign than k.
        return cls(east, north, rng.uniform(0, 2 * np.pi, modes), -np.sign(east) * pace)

    def at(self, lat: Array, lon: Array, day: float = 0.0) -> Array:
        """[n_lat, n_lon] values at degrees north and east on a day; two matrix products."""
        a = np.outer(self.east, lon) + (self.phase + self.frequency * day)[:, None]
        # cos(a + b) = cos a cos b - sin a sin b: no array of waves by rows by columns is ever made.
        b = np.outer(lat, self.north)
        waves: Array = np.sqrt(2 / len(self.phase)) * (np.cos(b) @ np.cos(a) - np.sin(b) @ np.sin(a))
        return waves
