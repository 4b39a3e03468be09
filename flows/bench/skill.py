"""How good and how certain a product is at cells that its networks have not seen, and what other widths would score.

`python -m flows.bench.skill tests/real/us-grid.toml --root ROOT` trains the product, unless it is trained already, and
prints its skill, how true its uncertainty is in every group, and the table of candidates of docs/method.md. It writes
`bench/skill-NAME.json`. Every width is judged on folds whose errors it was not learnt from.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.table import Table

from flows.cluster.connecting import cluster
from flows.console import output
from flows.environment import load_product
from flows.stages.ingest import ingest
from flows.stages.targets import build_targets
from flows.stages.train import CROSSVAL, train
from somo.learn.uncertainty import STANDARD_WIDTH, conformal_factor, fit_uncertainty
from somo.product.declaration import Product
from somo.storage.objects import join, read_bytes
from somo.validate.intervals import (
    JUDGED,
    SEASONS,
    interval_score,
    judge,
    normal_crps,
    with_constant_width,
    with_groups,
)
from somo.validate.matching import layer_skill

Floats = NDArray[np.float64]
Width = Callable[[pd.DataFrame, pd.DataFrame], Floats]
"""Rows to learn from, rows to judge -> standard deviation stated for the rows to judge, m3 m-3."""

# m3 m-3; members that agree to the last digit would otherwise state no width, which no factor makes wider.
LEAST_SPREAD = 1e-4
OWN_WIDTH = "each cell's own width (bound: knows its errors)"
WITH_SPREAD = "spread, scaled"


def main(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT.toml")],
    root: Annotated[str, typer.Option(help="Where results go.")],
) -> None:
    """Judge a product at the cells that every fold leaves out."""
    declared = load_product(product)
    pairs = out_of_fold(declared, root)
    skill = layer_skill(pairs, metrics=("pearson_r", "ubrmsd", "rmsd")).reset_index()
    truth, candidates = coverage_by_group(pairs), compare_widths(pairs)
    for title, table in (("skill", skill), ("uncertainty", truth), ("candidates", candidates)):
        print_table(f"{declared.name}: {title} at cells of left-out folds", table)
    Path("bench").mkdir(exist_ok=True)
    report = {"skill": skill, "uncertainty": truth, "candidates": candidates}
    records = {name: json.loads(table.to_json(orient="records")) for name, table in report.items()}
    Path("bench", f"skill-{declared.name}.json").write_text(json.dumps(records, indent=1))


def out_of_fold(product: Product, root: str) -> pd.DataFrame:
    """Targets beside out-of-fold predictions and their uncertainty, as the train stage leaves them."""
    with cluster(product) as client:
        inputs = ingest(product, root, client)
        models = train(product, root, inputs, build_targets(product, root, inputs, client), client)
    table = pd.read_parquet(io.BytesIO(read_bytes(join(models, CROSSVAL))))
    return table.dropna(subset=["y", "y_hat", "uncertainty"]).reset_index(drop=True)


def coverage_by_group(pairs: pd.DataFrame) -> pd.DataFrame:
    """Coverage, interval score (m3 m-3), its ratio to one constant width and CRPS, a row for each layer and group.

    Parameters
    ----------
    pairs : domain, cell, layer, time, fold, y, y_hat, dissimilarity, uncertainty
    """
    yardstick = with_constant_width(pairs)
    no_networks = pd.DataFrame({"domain": [], "cell": [], "layer": [], "network": []}).astype(
        {key: pairs[key].dtype for key in ("domain", "cell", "layer")}
    )
    groups = {by: label for by, label in with_groups(yardstick, no_networks).items() if by != "network"}
    scores = judge(yardstick, groups)
    keys = ["layer", "by", "group"]
    stated, constant = (
        scores[scores["width"] == width].pivot(index=keys, columns="metric", values="value")
        for width in ("uncertainty", "constant width")
    )
    ratio = stated["interval_score"] / constant["interval_score"]
    columns = [f"coverage_{100 * level:g}" for level in (0.5, 0.8, JUDGED, 0.95)]
    return stated[[*columns, "interval_score", "crps"]].assign(over_constant=ratio).reset_index()


def compare_widths(pairs: pd.DataFrame) -> pd.DataFrame:
    """Every candidate in every layer: coverage and interval score of its 90 % interval, and CRPS, m3 m-3."""
    rows = []
    for layer, of_layer in pairs.groupby("layer", observed=True):
        stated = {name: judged_fold_by_fold(of_layer, width) for name, width in widths(of_layer).items()}
        stated["chosen, with dissimilarity also weighed out of fold"] = of_layer["uncertainty"].to_numpy(float)
        stated[OWN_WIDTH] = own_width(of_layer)
        error = (of_layer["y"] - of_layer["y_hat"]).to_numpy(float)
        constant = interval_score(error, stated["one constant width"]).mean()
        for name, sigma in stated.items():
            score = float(interval_score(error, sigma).mean())
            coverage = float((np.abs(error) <= STANDARD_WIDTH * sigma).mean())
            row = {"layer": layer, "width": name, "coverage_90": coverage, "interval_score": score}
            rows.append({**row, "over_constant": score / constant, "crps": float(normal_crps(error, sigma).mean())})
    return pd.DataFrame(rows)


def widths(of_layer: pd.DataFrame) -> Mapping[str, Width]:
    """The candidates by name; the spread only where the folds have several members."""
    candidates: dict[str, Width] = {
        "one constant width": constant_width,
        "by mean": lambda learnt, judged: learnt_width(learnt, judged, dissimilarity=False),
        "by dissimilarity": lambda learnt, judged: learnt_width(learnt, judged, mean=False),
        "by mean and dissimilarity": learnt_width,
        "by mean and dissimilarity, each season apart": seasonal_width,
    }
    if of_layer["spread"].notna().all():
        candidates[WITH_SPREAD] = scaled_spread
    return candidates


def judged_fold_by_fold(of_layer: pd.DataFrame, width: Width) -> Floats:
    """[row] standard deviation that a candidate states, learnt from the other folds alone."""
    fold = of_layer["fold"].to_numpy()
    sigma = np.full(len(of_layer), np.nan)
    for left_out in np.unique(fold):
        judged = fold == left_out
        sigma[judged] = width(of_layer[~judged], of_layer[judged])
    return sigma


def constant_width(learnt: pd.DataFrame, judged: pd.DataFrame) -> Floats:
    """One width for all rows that holds 90 % of the errors learnt from."""
    error = (learnt["y"] - learnt["y_hat"]).abs().to_numpy(float)
    return np.full(len(judged), conformal_factor(error))


def learnt_width(learnt: pd.DataFrame, judged: pd.DataFrame, mean: bool = True, dissimilarity: bool = True) -> Floats:
    """The product's own width, or one that does not know the predicted mean or the dissimilarity.

    What a width shall not know is given to it as the same number everywhere; the errors keep their size.
    """
    error = (learnt["y"] - learnt["y_hat"]).to_numpy(float)
    means = [rows["y_hat"].to_numpy(float) if mean else np.zeros(len(rows)) for rows in (learnt, judged)]
    indices = [
        rows["dissimilarity"].to_numpy(float) if dissimilarity else np.ones(len(rows)) for rows in (learnt, judged)
    ]
    cell = learnt.groupby(["domain", "cell"], observed=True).ngroup().to_numpy()
    fitted = fit_uncertainty(str(learnt["layer"].iloc[0]), means[0] + error, means[0], indices[0], cell)
    return fitted.standard(means[1], indices[1])


def seasonal_width(learnt: pd.DataFrame, judged: pd.DataFrame) -> Floats:
    """The product's width, learnt in every season apart; of all seasons where one has no errors to learn from."""
    sigma = np.empty(len(judged))
    learnt_season, judged_season = (_season(rows) for rows in (learnt, judged))
    for season in np.unique(judged_season):
        of_season = learnt_season == season
        chosen = judged_season == season
        sigma[chosen] = learnt_width(learnt[of_season] if of_season.any() else learnt, judged[chosen])
    return sigma


def scaled_spread(learnt: pd.DataFrame, judged: pd.DataFrame) -> Floats:
    """The spread of the fold's members times the factor that makes it hold 90 % of the errors learnt from."""
    error = (learnt["y"] - learnt["y_hat"]).abs().to_numpy(float)
    learnt_spread, judged_spread = (rows["spread"].to_numpy(float).clip(LEAST_SPREAD) for rows in (learnt, judged))
    return judged_spread * conformal_factor(error / learnt_spread)


def own_width(of_layer: pd.DataFrame) -> Floats:
    """[row] the constant width that holds 90 % of the errors of the row's very cell.

    No product can state it, for it is learnt from the errors that it is judged on: it bounds what any width that
    differs from cell to cell, but not from day to day, could score.
    """
    error = (of_layer["y"] - of_layer["y_hat"]).abs()
    quantile = error.groupby([of_layer["domain"], of_layer["cell"]], observed=True).transform("quantile", JUDGED)
    return quantile.to_numpy(float) / STANDARD_WIDTH


def _season(rows: pd.DataFrame) -> NDArray[np.str_]:
    return np.array([SEASONS.get(month, "SON") for month in pd.DatetimeIndex(rows["time"]).month])


def print_table(title: str, table: pd.DataFrame) -> None:
    """A table with numbers to four digits."""
    printed = Table(*table.columns, title=title)
    for row in table.to_dict("records"):
        printed.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()))
    output.print(printed)


if __name__ == "__main__":
    typer.run(main)
