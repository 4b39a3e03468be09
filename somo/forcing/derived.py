"""Forcing that is computed from other forcing: signed sums and means."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from dask.array import Array
from numpy.typing import NDArray

Values = TypeVar("Values", Array, NDArray[np.floating])


def term(text: str) -> tuple[int, str]:
    """Sign and name of one term of `sum_of`: "-upward_shortwave" is subtracted."""
    return (-1, text[1:].strip()) if text.startswith("-") else (1, text.removeprefix("+").strip())


def signed_sum(terms: Sequence[str], values: Mapping[str, Values]) -> Values:
    """Sum of variables by their names, those with a leading minus subtracted."""
    (sign, name), *others = (term(text) for text in terms)
    total = values[name] if sign > 0 else -values[name]
    for sign, name in others:
        total = total + values[name] if sign > 0 else total - values[name]
    return total


def mean(names: Sequence[str], values: Mapping[str, Values]) -> Values:
    """Mean of variables by their names, with equal weights."""
    mean_of_all: Values = signed_sum(names, values) / np.float32(len(names))
    return mean_of_all
