"""Hyperparameter search over the folds: Optuna proposes, each fold is one Dask task, the bucket remembers."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pydantic
from distributed import Client, Future, as_completed
from matplotlib.figure import Figure
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from flows.cluster.connecting import expected_workers, gpu_resources
from flows.console import console
from flows.results import search_url
from flows.stages.learning.samples import prepare
from flows.stages.train import Group, folds_of, score_fold, train_network
from somo.forcing.dataset import Inputs
from somo.learn.samples import read_training_set
from somo.product.declaration import Product, ProductError
from somo.product.method import Range
from somo.storage.listing import listing
from somo.storage.objects import exists, join, put, read_bytes
from somo.validate.matching import layer_skill

TABLE, PLOT = "trials.parquet", "trials.png"


@dataclass(frozen=True)
class Trial:
    """One set of hyperparameters and what became of it.

    Attributes
    ----------
    number : of the trial in its study
    values : by key of the search space
    scores : mean over layers of the median correlation at left-out cells, one a fold that was tried
    pruned : given up before its last fold
    """

    number: int
    values: Mapping[str, Any]
    scores: tuple[float, ...] = ()
    pruned: bool = False


def search(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str, client: Client) -> str:
    """Search the declared space; returns the URL of `search/<hash>`, where the table and the plot of trials are.

    A trial is known by its number: asked once, scored once, and taken up again where it stopped.

    Raises
    ------
    ProductError
        if nothing is declared to search, or a lookback asks for more forcing than the product declares
    """
    require_searchable(product)
    return search_samples(product, root, prepare(product, root, inputs, targets, client), client)


def search_samples(product: Product, root: str, samples: str, client: Client) -> str:
    """Search the declared space over a training set that is there; returns as `search`."""
    url = search_url(product, root, samples)
    study, asked = restore(product, url)
    if len(_finished(study)) < product.search.trials:
        _run(product, samples, url, study, asked, client)
    put(join(url, TABLE), _table_bytes(study))
    put(join(url, PLOT), plot(study))
    best = study.best_trial
    console.print(f"best of {len(_finished(study))} trials: r {best.value:.3f} with {best.params}")
    return url


def require_searchable(product: Product) -> None:
    """Refuse an empty space, and sequences longer than the samples' spin-up.

    Raises
    ------
    ProductError
        naming the key to change
    """
    if not product.search.space:
        raise ProductError('[search.space] is empty; add for example "network.hidden" = [32, 64, 128]')
    longest = product.search.space.get("sequence.lookback", ())
    values = (longest.high,) if isinstance(longest, Range) else longest
    if too_long := [v for v in values if float(v) > product.sequence.lookback]:
        raise ProductError(
            f'[search.space] "sequence.lookback" tries {max(too_long)}, but forcing is prepared for sequence.lookback '
            f"{product.sequence.lookback}; raise that to the longest one tried"
        )


def variant(product: Product, values: Mapping[str, Any]) -> Product:
    """The product with some hyperparameters replaced.

    Raises
    ------
    ProductError
        naming the values that do not go together
    """
    tables: dict[str, dict[str, Any]] = {"network": {}, "sequence": {}, "training": {}}
    for key, value in values.items():
        table, name = key.split(".")
        tables[table][name] = value
    try:
        changed = {table: getattr(product, table).model_copy(update=update) for table, update in tables.items()}
        return product.model_copy(update=changed)
    except pydantic.ValidationError as error:
        tried = ", ".join(f"{key} = {value!r}" for key, value in values.items())
        reasons = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise ProductError(f"[search.space] tries {tried}: {reasons}") from error


def distributions(product: Product) -> dict[str, BaseDistribution]:
    """The declared space in Optuna's terms."""
    return {key: _distribution(declared) for key, declared in sorted(product.search.space.items())}


def _distribution(declared: tuple[Any, ...] | Range) -> BaseDistribution:
    if not isinstance(declared, Range):
        return CategoricalDistribution(declared)
    if isinstance(declared.low, int) and isinstance(declared.high, int):
        return IntDistribution(declared.low, declared.high, declared.log)
    return FloatDistribution(declared.low, declared.high, declared.log)


def new_study(product: Product, number: int = 0) -> optuna.Study:
    """An empty study whose sampler has a seed for one trial, so that a resumed study proposes as an unbroken one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    sampler = samplers[product.search.sampler](seed=product.search.seed * 10_007 + number)
    median = product.search.pruner == "median"
    # No trial is given up for the score of its first fold alone.
    pruner = optuna.pruners.MedianPruner(n_warmup_steps=1) if median else optuna.pruners.NopPruner()
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")


def restore(product: Product, url: str) -> tuple[optuna.Study, list[Trial]]:
    """The study as the bucket remembers it, and the trials that were asked and not ended."""
    study, open_trials = new_study(product), []
    # Not every file in the folder is a trial: a run that was killed while it wrote one leaves a hidden one.
    for number in range(len(listing(join(url, "asked")))):
        ended = join(url, "ended", f"{number}.json")
        remembered = json.loads(read_bytes(ended if exists(ended) else join(url, "asked", f"{number}.json")))
        trial = Trial(**{**remembered, "scores": tuple(remembered["scores"])})
        if exists(ended):
            study.add_trial(ended_trial(product, trial))
        else:
            open_trials.append(trial)
    return study, open_trials


def ended_trial(product: Product, trial: Trial) -> optuna.trial.FrozenTrial:
    """A trial that has ended, in Optuna's terms; its value is the mean over the folds that were tried."""
    return create_trial(
        state=TrialState.PRUNED if trial.pruned else TrialState.COMPLETE,
        value=float(np.mean(trial.scores)),
        params=dict(trial.values),
        distributions=distributions(product),
        intermediate_values=dict(enumerate(np.cumsum(trial.scores) / np.arange(1, len(trial.scores) + 1))),
        user_attrs={"number": trial.number},
    )


def _finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def _run(product: Product, samples: str, url: str, study: optuna.Study, left: list[Trial], client: Client) -> None:
    """Keep one trial a worker running until all are done; a trial's folds follow each other, so it can be pruned."""
    folds = folds_of(product, read_training_set(samples))
    n_folds, workers = int(folds.max()) + 1, expected_workers(client)
    running: dict[Future[float], Trial] = {}
    waiting = list(left)
    asked = len(_finished(study)) + len(left)
    pool = as_completed([], loop=client.loop, with_results=True)

    def start(trial: Trial) -> None:
        future = client.submit(
            score_trial, product, samples, folds, url, trial, pure=False, resources=gpu_resources(client)
        )
        running[future] = trial
        pool.add(future)

    def refill() -> None:
        nonlocal asked
        while len(running) < workers and (waiting or asked < product.search.trials):
            if not waiting:
                waiting.append(_ask(product, study, url, asked))
                asked += 1
            start(waiting.pop(0))

    refill()
    for future, score in pool:
        trial = running.pop(future)
        trial = Trial(trial.number, trial.values, (*trial.scores, score), False)
        if len(trial.scores) < n_folds and not should_prune(product, study, trial):
            start(trial)
            continue
        trial = Trial(trial.number, trial.values, trial.scores, len(trial.scores) < n_folds)
        # Remembered before the study learns of it: a run that ends here finds it ended.
        put(join(url, "ended", f"{trial.number}.json"), _json(trial))
        study.add_trial(ended_trial(product, trial))
        console.print(f"trial {trial.number}: r {np.mean(trial.scores):.3f}{' (pruned)' if trial.pruned else ''}")
        refill()


def _ask(product: Product, study: optuna.Study, url: str, number: int) -> Trial:
    """The sampler's next proposal, remembered before it is tried; the study itself learns of it when it has ended."""
    proposal = new_study(product, number)
    proposal.add_trials(_finished(study))
    trial = Trial(number, proposal.ask(distributions(product)).params)
    put(join(url, "asked", f"{number}.json"), _json(trial))
    return trial


def should_prune(product: Product, study: optuna.Study, trial: Trial) -> bool:
    """Whether the pruner gives up a trial after the folds it has."""
    steps = dict(enumerate(np.cumsum(trial.scores) / np.arange(1, len(trial.scores) + 1)))
    running_trial = create_trial(
        state=TrialState.RUNNING,
        params=dict(trial.values),
        distributions=distributions(product),
        intermediate_values=steps,
    )
    return study.pruner.prune(study, running_trial)


def score_trial(product: Product, samples: str, folds: NDArray[np.int64], url: str, trial: Trial) -> float:
    """Train a trial's networks on the folds but its next one, and score them there.

    A network whose worker died goes on from its last epoch; one that is finished is not trained again.
    """
    fold = len(trial.scores)
    changed = variant(product, trial.values)
    group = Group(join(url, "trials", str(trial.number), str(fold)), fold, fold, changed.training.fold_members)
    above: list[str] = []
    for layer in product.layers:
        above += [
            train_network(changed, samples, folds, group, layer.name, member, list(above))
            for member in range(group.members)
        ]
    # A shorter lookback could be judged on earlier days: every trial is judged on the days of the longest.
    table = score_fold(changed, samples, folds, group, product.sequence.spinup_days)
    return float(np.mean(layer_skill(table)["pearson_r"].to_numpy()))


def _json(trial: Trial) -> bytes:
    return json.dumps(asdict(trial)).encode()


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row a trial: number, state, r, folds tried and its hyperparameters; best first."""
    rows = [
        {
            "trial": t.user_attrs["number"],
            "state": t.state.name.lower(),
            "r": t.value,
            "folds": len(t.intermediate_values),
            **t.params,
        }
        for t in _finished(study)
    ]
    return pd.DataFrame(rows).sort_values("r", ascending=False, ignore_index=True)


def _table_bytes(study: optuna.Study) -> bytes:
    buffer = io.BytesIO()
    trials_table(study).to_parquet(buffer, index=False)
    return buffer.getvalue()


def plot(study: optuna.Study) -> bytes:
    """PNG: the correlation of every trial by its order and by each hyperparameter."""
    table = trials_table(study)
    keys = [c for c in table.columns if "." in c]
    figure = Figure(figsize=(3.2 * (1 + len(keys)), 3), layout="constrained")
    for axis, key in zip(figure.subplots(1, 1 + len(keys), squeeze=False)[0], ["trial", *keys], strict=True):
        for state, colour in (("complete", "tab:blue"), ("pruned", "lightgrey")):
            trials = table[table["state"] == state]
            values = trials[key].astype(str) if trials[key].dtype == object else trials[key]
            axis.scatter(values, trials["r"], c=colour, s=16)
        axis.set_xlabel(key)
        if key.endswith("learning_rate"):
            axis.set_xscale("log")
    figure.axes[0].set_ylabel("median r at left-out cells")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
