"""Speed of the network against its plain loop, NeuralHydrology's EALSTM and the machine's own matrix product.

`python -m flows.bench_learn` prints a table and writes `bench/learn.json`. All rates are of one run on the same inputs;
the work of one step of one sequence is counted as 6 H (H + D) floating-point operations for every road.
"""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from flows.runtime import output
from somo.learn.ealstm import EALSTM, Forward, pick_device
from somo.learn.scaling import Scaler, Scaling, Transform
from somo.predict.kernel import CpuForward

HIDDEN, DYNAMIC, STATIC, DAYS = 128, 5, 10, 365
REPEATS = 3


@dataclass(frozen=True)
class Rate:
    """One measured road.

    Attributes
    ----------
    road : what ran: fused kernels, the recurrence (training on a CPU), production (regions on a CPU), loop, the peer
    kind : "inference" (windows of `DAYS` days) or "training" (sequences, forward and backward)
    batch : sequences run together
    per_s : windows or sequences per second, the best of the repeats
    of_product : useful operations per second over the rate of the matrix product; three times as many in training
    """

    road: str
    kind: str
    batch: int
    per_s: float
    of_product: float


def main(batches: tuple[int, ...] = (64, 256, 1024), days: int = DAYS, hidden: int = HIDDEN) -> dict[str, object]:
    """Measure, print the table and write the JSON; smaller sizes are for trying the benchmark."""
    device = pick_device()
    product = product_rate(device)
    rates = [rate for batch in batches for rate in measure(batch, days, hidden, device, product)]
    report: dict[str, object] = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "product_gflops": round(product / 1e9, 1),
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
    return {
        f"{kind} {batch}: {ours} over {other}": round(per_s / by[other, kind, batch], 2)
        for (ours, kind, batch), per_s in by.items()
        for other in ("plain loop", "NeuralHydrology")
        if ours not in ("plain loop", "NeuralHydrology") and (other, kind, batch) in by
    }


def measure(batch: int, days: int, hidden: int, device: torch.device, product: float) -> list[Rate]:
    """All roads on the same inputs."""
    torch.manual_seed(0)
    net = EALSTM(DYNAMIC, STATIC, hidden).to(device)
    x_d = torch.randn(days, batch, DYNAMIC, device=device)
    x_s = torch.randn(batch, STATIC, device=device)
    y = torch.randn(1, batch, device=device)
    forwards = roads(net, x_d, x_s)
    work = 6 * hidden * (hidden + DYNAMIC) * days * batch
    rates = []
    for road, (_, forward) in forwards.items():
        seconds = best_time(forward, device, torch.inference_mode)
        rates.append(Rate(road, "inference", batch, batch / seconds, work / seconds / product))
    for road, (model, forward) in forwards.items():
        if road == "production" or ("bfloat16" in road and device.type == "cpu"):
            continue
        seconds = best_time(partial(learn_step, model, forward, y), device, torch.enable_grad)
        rates.append(Rate(road, "training", batch, batch / seconds, 3 * work / seconds / product))
    return rates


def roads(net: EALSTM, x_d: Tensor, x_s: Tensor) -> dict[str, tuple[torch.nn.Module, Callable[[], Tensor]]]:
    """Every road to the last day's output [1, batch] with the same weights."""
    found: dict[str, tuple[torch.nn.Module, Callable[[], Tensor]]] = {
        "fused": (net, lambda: net(x_d, x_s, 1, "fused")),
        "plain loop": (net, lambda: net(x_d, x_s, 1, "loop")),
    }
    if not x_d.is_cuda:
        production = production_kernel(net)
        found["recurrence"] = (net, lambda: net(x_d, x_s, 1, "recurrence"))
        found["production"] = (net, lambda: production(x_d, x_s, 1))
    if x_d.is_cuda or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        x_d16, x_s16 = x_d.bfloat16(), x_s.bfloat16()
        found["fused bfloat16"] = (net, lambda: net(x_d16, x_s16, 1))
    theirs = neuralhydrology_model(net)
    if theirs is not None:
        data = {"x_d": {f"d{i}": x_d[..., i : i + 1].transpose(0, 1) for i in range(DYNAMIC)}, "x_s": x_s}
        found["NeuralHydrology"] = (theirs, lambda: theirs(data)["y_hat"][:, -1:, 0].t())
    return found


def production_kernel(net: EALSTM) -> CpuForward:
    """What regions run on a CPU, with inputs and output left as they are."""
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
    from somo.learn.convert import to_state_dict

    config = {
        "model": "ealstm", "head": "regression", "hidden_size": net.hidden, "output_dropout": 0.0,
        "dynamic_inputs": [f"d{i}" for i in range(DYNAMIC)], "static_attributes": [f"s{i}" for i in range(STATIC)],
        "target_variables": ["y"], "initial_forget_bias": 5.0, "use_basin_id_encoding": False,
        "predict_last_n": 1, "seq_length": DAYS,
    }  # fmt: skip
    theirs = TheirEALSTM(Config(config))
    theirs.load_state_dict(to_state_dict({k: v.detach() for k, v in net.state_dict().items()}, "neuralhydrology"))
    return theirs.to(net.bias.device)


def learn_step(model: torch.nn.Module, forward: Callable[[], Tensor], y: Tensor) -> Tensor:
    """Forward, loss and backward of one batch."""
    model.zero_grad()
    loss = (forward() - y).square().mean()
    loss.backward()
    return loss


def product_rate(device: torch.device, size: int = 2048) -> float:
    """Operations per second of the framework's float32 matrix product."""
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    return 2 * size**3 / best_time(lambda: a @ b, device, torch.inference_mode, repeats=10)


def best_time(
    call: Callable[[], Tensor],
    device: torch.device,
    mode: Callable[[], AbstractContextManager],
    repeats: int = REPEATS,
) -> float:
    """Seconds of the fastest of some calls after one that warms up."""
    times = []
    with mode():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return min(times[1:])


if __name__ == "__main__":
    main()
