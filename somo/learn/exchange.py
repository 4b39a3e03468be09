"""Published EA-LSTM weights <-> ours: the state dicts of NeuralHydrology and of Kratzert et al. (2019)."""

import tomllib
from collections.abc import Mapping
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from somo.learn import LearnError
from somo.learn.checkpoint import Checkpoint
from somo.learn.normalising import Scaler, Scaling, Transform
from somo.product.method import Network, Sequence
from somo.storage.objects import local_copy, read_bytes

Style = Literal["kratzert", "neuralhydrology"]

_NAMES: dict[Style, dict[str, str]] = {
    "kratzert": {
        "lstm.weight_ih": "weight_ih",
        "lstm.weight_hh": "weight_hh",
        "lstm.weight_sh": "weight_sh",
        "lstm.bias": "bias",
        "lstm.bias_s": "bias_s",
        "fc.weight": "head.0.weight",
        "fc.bias": "head.0.bias",
    },
    "neuralhydrology": {
        "dynamic_gates.weight_ih": "weight_ih",
        "dynamic_gates.weight_hh": "weight_hh",
        "dynamic_gates.bias": "bias",
        "input_gate.weight": "weight_sh",
        "input_gate.bias": "bias_s",
        "head.net.0.weight": "head.0.weight",
        "head.net.0.bias": "head.0.bias",
    },
}
_TRANSPOSED = "input_gate.weight"


def from_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights from a state dict of either style; its names tell which.

    Raises
    ------
    LearnError
        if its names are of neither
    """
    for names in _NAMES.values():
        if names.keys() == state.keys():
            return {
                ours: (state[name].t() if name == _TRANSPOSED else state[name]).contiguous().float()
                for name, ours in names.items()
            }
    known = "; or ".join(", ".join(names) for names in _NAMES.values())
    raise LearnError(f"weights {', '.join(state)} are of no EA-LSTM known here; expected {known}")


def to_state_dict(weights: Mapping[str, Tensor], style: Style) -> dict[str, Tensor]:
    """A state dict of either style from our weights.

    Raises
    ------
    LearnError
        if the head has more than the one dense layer that both have
    """
    names = _NAMES[style]
    if weights.keys() != set(names.values()):
        raise LearnError(f"a head of several dense layers cannot be written in the style of {style}; train with one")
    return {
        name: (weights[ours].t() if name == _TRANSPOSED else weights[ours]).contiguous() for name, ours in names.items()
    }


def read_state_dict(url: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a PyTorch file that holds nothing but tensors.

    Raises
    ------
    LearnError
        if the file holds anything else; it is refused without being run
    """
    with local_copy(url) as path:
        try:
            if url.endswith(".safetensors"):
                return safetensors.torch.load_file(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
        except SafetensorError as error:
            raise LearnError(f"{url}: not a safetensors file ({error})") from error
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise LearnError(
                f"{url}: not a file of tensors alone ({reason}); save the state dict of the model"
            ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise LearnError(f"{url}: holds {type(state).__name__}, not named tensors; save the state dict of the model")
    return dict(state)


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Feature(_Declared):
    """An input or the target: normalised as (transform(x) - mean) / std."""

    name: str
    transform: Transform = ""
    mean: float
    std: float = Field(gt=0)


class Description(_Declared):
    """What published weights do not say of themselves: features in order, normalisation, sequence, limit."""

    dynamic: tuple[Feature, ...] = Field(min_length=1)
    static: tuple[Feature, ...] = Field(min_length=1)
    target: Feature
    sequence: Sequence
    dropout: float = 0.0
    clip: float | None = 0.0
    source: str = ""


def read_description(url: str) -> Description:
    """The TOML that describes published weights.

    Raises
    ------
    LearnError
        naming file, key and what is allowed
    """
    try:
        return Description.model_validate(tomllib.loads(read_bytes(url).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LearnError(f"{url}: not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise LearnError(f"{url}: {key}: {first['msg']}") from error


def import_checkpoint(state: Mapping[str, Tensor], described: Description, layer: str, member: int) -> Checkpoint:
    """A checkpoint from published weights and their description.

    Raises
    ------
    LearnError
        if their shapes and the described features contradict
    """
    weights = from_state_dict(state)
    for kind, features, name in (
        ("dynamic", described.dynamic, "weight_ih"),
        ("static", described.static, "weight_sh"),
    ):
        if weights[name].shape[0] != len(features):
            raise LearnError(
                f"the weights take {weights[name].shape[0]} {kind} inputs, the description lists {len(features)}: "
                f"{', '.join(f.name for f in features)}"
            )
    network = Network(hidden=weights["weight_hh"].shape[0], dropout=described.dropout)
    scaling = Scaling(_scaler(described.dynamic), _scaler(described.static), _scaler((described.target,)))
    provenance: dict[str, Any] = {"imported_from": described.source}
    return Checkpoint(layer, member, weights, scaling, described.sequence, network, described.clip, provenance)


def _scaler(features: tuple[Feature, ...]) -> Scaler:
    return Scaler(
        tuple(f.name for f in features),
        tuple(f.transform for f in features),
        tuple(f.mean for f in features),
        tuple(f.std for f in features),
    )
