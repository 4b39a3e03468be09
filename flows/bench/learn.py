"""Speed of the network against its plain loop, NeuralHydrology's EALSTM and the machine's own matrix product.

`python -m flows.bench.learn` prints a table and writes `bench/learn.json`. All rates are of one run on the same inputs;
the work of one step of one sequence is counted as 6 H (H + D) floating-point operations for every road.
"""

import json
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from flows.console import output
from somo.learn.networks.ealstm import EALSTM
from somo.learn.networks.ealstm_kernel import CpuForward
from somo.learn.networks.forward import Forward, pick_device
from somo.learn.normalising import Scaler, Scaling, Transform

HIDDEN, DYNAMIC, STATIC, DAYS = 128, 5, 10, 365
REPEATS = 6
PRODUCT, PRODUCT_SIZE = "matrix product", 2048
PRODUCT_WORK = 2 * PRODUCT_SIZE**3


@dataclass(frozen=True)
class Rate:
    """One measured road.

    Attributes
    ----------
    road : what ran: fused kernels, the recurrence (training on a CPU), production (regions on a CPU), loop, the peer;
        "on each core": the batch shared among processes of one thread, as workers are
    kind : "inference" (windows of `DAYS` days) or "training" (sequences, forward and backward)
    batch : sequences run together
    per_s : windows or sequences per second, the best of the rounds
    flops : useful operations per second, three times as many in training
    of_product : `flops` over those of the matrix product in the same rounds
    """

    road: str
    kind: str
    batch: int
    per_s: float
    flops: float
    of_product: float


def main(batches: tuple[int, ...] = (64, 256, 1024), days: int = DAYS, hidden: int = HIDDEN) -> dict[str, object]:
    """Measure, print the table and write the JSON; smaller sizes are for trying the benchmark."""
    device = pick_device()
    rates = [rate for batch in batches for rate in measure(batch, days, hidden, device)]
    report: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "product_gflops": round(rates[0].flops / rates[0].of_product / 1e9, 1),
        "rates": [asdict(rate) for rate in rates],
        "ratios": ratios(rates),
    }
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "learn.json").write_text(json.dumps(report, indent=1))
    table = Table("road", "kind", "batch", "per second", "of matrix product", title=f"learn on {report['device']}")
    for rate in rates:
        table.add_row(rate.road, rate.kind, str(rate.batch), f"{rate.per_s:.1f}", f"{rate.of_product:.2f}")
    output.print(table)
    return report


def ratios(rates: list[Rate]) -> dict[str, float]:
    """Speed of our roads over the plain loop and NeuralHydrology, by kind and batch."""
    by = {(r.road, r.kind, r.batch): r.per_s for r in rates}
    others = ("plain loop", "NeuralHydrology", "plain loop on each core")
    return {
        f"{kind} {batch}: {ours} over {other}": round(per_s / by[other, kind, batch], 2)
        for (ours, kind, batch), per_s in by.items()
        for other in others
        if ours not in others and (other, kind, batch) in by
    }


def measure(batch: int, days: int, hidden: int, device: torch.device) -> list[Rate]:
    """All roads on the same inputs."""
    torch.manual_seed(0)
    net = EALSTM(DYNAMIC, STATIC, hidden).to(device)
    x_d = torch.randn(days, batch, DYNAMIC, device=device)
    x_s = torch.randn(batch, STATIC, device=device)
    y = torch.randn(1, batch, device=device)
    road_calls = roads(net, x_d, x_s)
    predicting: dict[str, Callable[[], object]] = {road: forward for road, (_, forward) in road_calls.items()}
    learning: dict[str, Callable[[], object]] = {
        road: partial(learn_step, model, forward, y)
        for road, (model, forward) in road_calls.items()
        # The production kernel has no gradient; training in bfloat16 is measured on GPUs alone.
        if road != "production" and ("bfloat16" not in road or device.type == "cuda")
    }
    work = 6 * hidden * (hidden + DYNAMIC) * days * batch
    with ExitStack() as pools:
        if device.type == "cpu":
            for road in ("production", "plain loop"):
                predicting[f"{road} on each core"] = pools.enter_context(on_each_core(road, batch, days, hidden))
        inference = best_times(predicting, device, torch.inference_mode)
    training = best_times(learning, device, torch.enable_grad)
    return rates_of("inference", inference, batch, work) + rates_of("training", training, batch, 3 * work)


def rates_of(kind: str, seconds: dict[str, float], batch: int, work: int) -> list[Rate]:
    """Rates of every road but the matrix product, which is their measure."""
    product = PRODUCT_WORK / seconds.pop(PRODUCT)
    return [Rate(road, kind, batch, batch / s, work / s, work / s / product) for road, s in seconds.items()]


def roads(net: EALSTM, x_d: Tensor, x_s: Tensor) -> dict[str, tuple[torch.nn.Module, Callable[[], Tensor]]]:
    """Every road to the last day's output [1, batch] with the same weights."""
    road_calls: dict[str, tuple[torch.nn.Module, Callable[[], Tensor]]] = {
        "fused": (net, lambda: net(x_d, x_s, 1, "fused")),
        "plain loop": (net, lambda: net(x_d, x_s, 1, "loop")),
    }
    if not x_d.is_cuda:
        production = production_kernel(net)
        road_calls["recurrence"] = (net, lambda: net(x_d, x_s, 1, "recurrence"))
        road_calls["production"] = (net, lambda: production(x_d, x_s, 1))
    if x_d.is_cuda or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        x_d16, x_s16 = x_d.bfloat16(), x_s.bfloat16()
        road_calls["fused bfloat16"] = (net, lambda: net(x_d16, x_s16, 1))
    theirs = neuralhydrology_model(net)
    if theirs is not None:
        data = {"x_d": {f"d{i}": x_d[..., i : i + 1].transpose(0, 1) for i in range(DYNAMIC)}, "x_s": x_s}
        road_calls["NeuralHydrology"] = (theirs, lambda: theirs(data)["y_hat"][:, -1:, 0].t())
    return road_calls


@contextmanager
def on_each_core(road: str, batch: int, days: int, hidden: int) -> Iterator[Callable[[], object]]:
    """A call that shares the batch among as many processes of one thread as there are cores."""
    cores = torch.get_num_threads()
    # A forked process would inherit torch's pool of threads without the threads, and may wait for them for ever.
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(cores, initializer=_prepare, initargs=(road, math.ceil(batch / cores), days, hidden)) as pool:
        yield lambda: pool.map(_predict_share, range(cores), chunksize=1)


_share: Callable[[], Tensor]


def _prepare(road: str, batch: int, days: int, hidden: int) -> None:
    global _share
    torch.set_num_threads(1)
    net = EALSTM(DYNAMIC, STATIC, hidden)
    x_d, x_s = torch.randn(days, batch, DYNAMIC), torch.randn(batch, STATIC)
    _share = roads(net, x_d, x_s)[road][1]


def _predict_share(_: int) -> None:
    with torch.inference_mode():
        _share()


def production_kernel(net: EALSTM) -> CpuForward:
    """The kernel that regions run on a CPU, with a scaling that changes neither inputs nor output."""
    plain: Transform = ""
    dynamic, static, target = (
        Scaler(names, (plain,) * len(names), (0.0,) * len(names), (1.0,) * len(names))
        for names in (tuple(f"d{i}" for i in range(DYNAMIC)), tuple(f"s{i}" for i in range(STATIC)), ("y",))
    )
    return CpuForward.of(
        Forward(net.eval(), Scaling(dynamic, static, target), None, torch.device("cpu"), torch.float32)
    )


def neuralhydrology_model(net: EALSTM) -> torch.nn.Module | None:
    """Their EALSTM with the same weights; None where the package is not installed."""
    try:
        from neuralhydrology.modelzoo.ealstm import EALSTM as TheirEALSTM
        from neuralhydrology.utils.config import Config
    except ImportError:
        return None
    from somo.learn.exchange import to_state_dict

    config = {
        "model": "ealstm", "head": "regression", "hidden_size": net.hidden, "output_dropout": 0.0,
        "dynamic_inputs": [f"d{i}" for i in range(DYNAMIC)], "static_attributes": [f"s{i}" for i in range(STATIC)],
        "target_variables": ["y"], "initial_forget_bias": 5.0, "use_basin_id_encoding": False,
        "predict_last_n": 1, "seq_length": DAYS,
    }  # fmt: skip
    theirs: torch.nn.Module = TheirEALSTM(Config(config))
    theirs.load_state_dict(to_state_dict({k: v.detach() for k, v in net.state_dict().items()}, "neuralhydrology"))
    return theirs.to(net.bias.device)


def learn_step(model: torch.nn.Module, forward: Callable[[], Tensor], y: Tensor) -> Tensor:
    """Forward, loss and backward of one batch."""
    model.zero_grad()
    loss = (forward() - y).square().mean()
    loss.backward()
    return loss


def best_times(
    calls: dict[str, Callable[[], object]], device: torch.device, mode: Callable[[], AbstractContextManager[object]]
) -> dict[str, float]:
    """Seconds of the fastest round of each call and of the matrix product; in turn, since a machine's pace drifts."""
    left, right = (torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=device) for _ in range(2))
    best: dict[str, float] = {}
    with mode():
        for repeat in range(1 + REPEATS):
            for name, call in {PRODUCT: lambda: left @ right, **calls}.items():
                start = time.perf_counter()
                call()
                # A call on a GPU returns before its work is done.
                if device.type == "cuda":
                    torch.cuda.synchronize()
                # The first round warms up.
                if repeat:
                    best[name] = min(best.get(name, math.inf), time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
