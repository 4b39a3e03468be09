"""Networks as they are used: inputs as the forcing gives them, output in m3 m-3, layer by layer downward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from somo.learn.checkpoint import Checkpoint
from somo.learn.networks.register import build_network
from somo.learn.normalising import Scaling


def pick_device() -> torch.device:
    """The first CUDA GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, eq=False)
class Forward:
    """One member of one layer in physical units: inputs as the forcing gives them, output in m3 m-3.

    Attributes
    ----------
    network : the weights, in evaluation mode, on `device`
    scaling : how inputs are normalised and the output is brought back
    clip : smallest value that leaves the network, m3 m-3; None for no limit
    dtype : float32, or bfloat16 to run the recurrence in it
    """

    network: nn.Module
    scaling: Scaling
    clip: float | None
    device: torch.device
    dtype: torch.dtype

    @torch.inference_mode()
    def __call__(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None) -> Tensor:
        """Soil moisture [n, B], m3 m-3, of the last n days (all when None), float32 on `device`.

        Parameters
        ----------
        x_d : [T, B, D] daily inputs in physical units, in the order of `scaling.dynamic.names`
        x_s : [B, S] static inputs in physical units, in the order of `scaling.static.names`
        """
        x_d = self.scaling.dynamic.apply(x_d.to(self.device)).to(self.dtype)
        x_s = self.scaling.static.apply(x_s.to(self.device)).to(self.dtype)
        # Back to float32 before the units: bfloat16 has steps of 0.002 at 0.4 m3 m-3.
        y = self.scaling.target.invert(self.network(x_d, x_s, last_n).float().unsqueeze(-1)).squeeze(-1)
        return y if self.clip is None else y.clamp(min=self.clip)


def load(checkpoint: Checkpoint, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Forward:
    """The network of a checkpoint, ready to run on a device."""
    network = build_network(len(checkpoint.dynamic), len(checkpoint.static), checkpoint.network)
    network.load_state_dict(dict(checkpoint.weights))
    network.eval()
    device = torch.device(device)
    return Forward(network.to(device), checkpoint.scaling, checkpoint.clip, device, dtype)


def cascade(layers: Sequence[Sequence[Callable[[Tensor, Tensor], Tensor]]], x_d: Tensor, x_s: Tensor) -> list[Tensor]:
    """Every member of every layer over one sequence from zero state; the members' mean feeds the layers below.

    Parameters
    ----------
    layers : the members of each layer, from the surface downward
    x_d : [T, B, forcing variables] physical units
    x_s : [B, S] physical units

    Returns
    -------
    per layer [member, T, B], m3 m-3; a deeper layer's inputs are the forcing followed by the layers above
    """
    results: list[Tensor] = []
    for members in layers:
        results.append(torch.stack([member(x_d, x_s) for member in members]))
        x_d = torch.cat([x_d, results[-1].mean(0).unsqueeze(-1).to(x_d.device)], dim=2)
    return results
