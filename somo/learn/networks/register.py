"""The kinds of network: the settings of a declaration (`somo.product.network`) -> what computes them.

A further kind is a class of settings under `register_network_kind` and one entry of `ARCHITECTURES`, from anywhere.
"""

import torch
from torch import nn

from somo.learn.networks import ealstm, lstm
from somo.learn.networks.architecture import Architecture
from somo.learn.networks.ealstm_kernel import CpuForward
from somo.product.network import NetworkKind

ARCHITECTURES: dict[str, Architecture] = {
    "ealstm": Architecture(ealstm.build, CpuForward.of),
    "lstm": Architecture(lstm.build),
}


def build_network(n_dynamic: int, n_static: int, settings: NetworkKind) -> nn.Module:
    """A network with fresh weights."""
    return ARCHITECTURES[settings.kind].build(n_dynamic, n_static, settings)


def parameter_shapes(n_dynamic: int, n_static: int, settings: NetworkKind) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter by name; nothing is computed."""
    # Tensors on this device have a shape and no memory: a checkpoint is checked without making a network.
    with torch.device("meta"):
        network = build_network(n_dynamic, n_static, settings)
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
