"""Spatial folds: cells, not days, are split, and neighbours stay together."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components

from somo.core.grid import distance_km
from somo.learn import LearnError


def spatial_folds(
    lat: ArrayLike, lon: ArrayLike, n_folds: int, distance: float = 0.0, seed: int = 0
) -> NDArray[np.int64]:
    """Fold of each cell; cells closer than `distance` km, directly or through others, share one.

    Groups are shuffled by `seed` and given, largest first, to the fold with the fewest cells.

    Parameters
    ----------
    lat, lon : [cell] centres in degrees; equal centres are one place
    distance : least distance in km between two cells of different folds

    Raises
    ------
    LearnError
        if there are fewer groups of neighbours than folds
    """
    lat, lon = np.asarray(lat, float), np.asarray(lon, float)
    group = neighbour_groups(lat, lon, distance)
    sizes = np.bincount(group) if len(group) else np.zeros(0, int)
    if len(sizes) < n_folds:
        raise LearnError(
            f"{len(lat)} training cells form {len(sizes)} groups at least {distance:g} km apart, too few for "
            f"{n_folds} folds; lower training.folds or training.fold_distance_km, or add stations"
        )
    # Shuffled before they are sorted: sorting is stable, so groups of one size still go to folds at random.
    order = np.random.default_rng(seed).permutation(len(sizes))
    fold_of_group = np.empty(len(sizes), int)
    load = np.zeros(n_folds, int)
    for g in sorted(order, key=lambda g: -sizes[g]):
        fold_of_group[g] = load.argmin()
        load[load.argmin()] += sizes[g]
    folds = fold_of_group[group]
    # A leak between folds would make every score of the report too good without a trace: it is proven, not assumed.
    require_apart(lat, lon, folds, distance)
    return folds


def neighbour_groups(lat: NDArray[np.float64], lon: NDArray[np.float64], distance: float) -> NDArray[np.int64]:
    """Number of the group of each cell: connected by steps shorter than `distance` km, or at the same place."""
    if not len(lat):
        return np.zeros(0, int)
    apart = distance_km(lat[:, None], lon[:, None], lat, lon)
    _, groups = connected_components((apart < distance) | (apart == 0), directed=False)
    group_of_cell: NDArray[np.int64] = groups.astype(int)
    return group_of_cell


def require_apart(
    lat: NDArray[np.float64], lon: NDArray[np.float64], folds: NDArray[np.int64], distance: float
) -> None:
    """Prove that no two cells of different folds lie at the same place or closer than `distance` km.

    Raises
    ------
    LearnError
        naming two cells that do
    """
    apart = distance_km(lat[:, None], lon[:, None], lat, lon)
    leak = ((apart < distance) | (apart == 0)) & (folds[:, None] != folds)
    if leak.any():
        a, b = (int(i[0]) for i in np.nonzero(leak))
        raise LearnError(
            f"cells {lat[a]:g} N {lon[a]:g} E (fold {folds[a]}) and {lat[b]:g} N {lon[b]:g} E (fold {folds[b]}) are "
            f"{apart[a, b]:.1f} km apart, closer than {distance:g} km; make the folds again"
        )


def require_outside(layer: str, folds: NDArray[np.int64], distance: float) -> None:
    """Require that every fold leaves cells of a layer to learn from, before any network is trained.

    Parameters
    ----------
    folds : [cell] fold of each cell with targets in the layer
    distance : least distance in km between two cells of different folds

    Raises
    ------
    LearnError
        if all cells lie in one fold
    """
    if len(set(folds.tolist())) == 1:
        cells = f"all {len(folds)} training cells lie" if len(folds) > 1 else "its only training cell lies"
        raise LearnError(
            f"{layer}: {cells} in fold {folds[0]}, and nothing is left to learn from where that is left out; add "
            f"stations at that depth, list [[layers]] without it, or lower training.fold_distance_km ({distance:g}) "
            "or change training.seed where they are apart"
        )


def hold_back(
    lat: NDArray[np.float64], lon: NDArray[np.float64], share: float, distance: float, seed: int
) -> NDArray[np.bool_]:
    """Cells kept out of a training run to stop it early: whole groups of neighbours, about `share` of the cells.

    At most twice as many are held back, or the smallest group where that alone is more. All False where `share` is 0 or
    the cells form fewer than two groups.
    """
    group = neighbour_groups(lat, lon, distance)
    sizes = np.bincount(group) if len(group) else np.zeros(0, int)
    held = np.zeros(len(lat), bool)
    if share == 0 or len(sizes) < 2:
        return held
    wanted = max(1, round(share * len(lat)))
    # The last group is never held back, so that there is always something to learn from.
    for g in np.random.default_rng(seed).permutation(len(sizes))[:-1]:
        if held.sum() >= wanted:
            break
        # A dense network is one group, which may be most of the cells: the rest would be too few to learn from.
        if held.sum() + sizes[g] <= 2 * wanted:
            held |= group == g
    return held if held.any() else group == sizes.argmin()


def temporal_split(n_days: int, first: int, share: float) -> NDArray[np.bool_]:
    """Days [n_days] that are held back at the end: the last `share` of the days from `first` on."""
    held = np.zeros(n_days, bool)
    held[n_days - round(share * (n_days - first)) :] = True
    return held
