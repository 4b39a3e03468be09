"""Published EA-LSTM weights <-> ours: the state dicts of NeuralHydrology and of Kratzert et al. (2019)."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from somo.learn import LearnError
from somo.learn.checkpoint import Checkpoint
from somo.learn.normalising import Scaler, Scaling, Transform
from somo.learn.uncertainty import Uncertainty
from somo.product.method import Sequence
from somo.product.network import Ealstm
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
# NeuralHydrology's input gate is a torch.nn.Linear, whose weight is [out, in]; here it multiplies from the right.
_TRANSPOSED = "input_gate.weight"


def from_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights from a state dict of either style, which is told by the names of its tensors.

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
    names_of_styles = "; or ".join(", ".join(names) for names in _NAMES.values())
    raise LearnError(f"weights {', '.join(state)} are of no EA-LSTM known here; expected {names_of_styles}")


def to_state_dict(weights: Mapping[str, Tensor], style: Style) -> dict[str, Tensor]:
    """A state dict of either style from our weights.

    Raises
    ------
    LearnError
        if the network is no EA-LSTM, or its head has more than the one dense layer that both have
    """
    names = _NAMES[style]
    if weights.keys() != set(names.values()):
        raise LearnError(
            f"these weights are not those of an EA-LSTM with one dense layer, which is all that the style of {style} "
            'knows; train with network.kind = "ealstm" and head_layers = 1'
        )
    return {
        name: (weights[ours].t() if name == _TRANSPOSED else weights[ours]).contiguous() for name, ours in names.items()
    }


def read_state_dict(url: str) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of a PyTorch file that holds nothing but tensors.

    Raises
    ------
    LearnError
        if the file holds anything else, which is refused without being run, or numbers that are not finite
    """
    with local_copy(url) as path:
        try:
            if url.endswith(".safetensors"):
                state: object = safetensors.torch.load_file(path)
            else:
                # weights_only keeps torch from running the code that a pickle of a stranger may hold.
                state = torch.load(path, map_location="cpu", weights_only=True)
        except SafetensorError as error:
            raise LearnError(f"{url}: not a safetensors file ({error})") from error
        # torch has no one error for files that it cannot read: what is raised depends on where it stumbles.
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise LearnError(
                f"{url}: not a file of tensors alone ({reason}); save the state dict of the model"
            ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise LearnError(f"{url}: holds {type(state).__name__}, not named tensors; save the state dict of the model")
    for name, tensor in state.items():
        _require_numbers(url, str(name), tensor)
    return {str(name): tensor for name, tensor in state.items()}


def _require_numbers(url: str, name: str, tensor: Tensor) -> None:
    """Require that a tensor holds as many finite numbers as it says.

    Raises
    ------
    LearnError
        naming file and tensor
    """
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.is_floating_point():
        raise LearnError(
            f"{url}: {name} is {tensor.layout} of {tensor.dtype}, not an array of real numbers; save it so"
        )
    # Strides of zero make one stored number any number of them, and the copies would fill the memory.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise LearnError(
            f"{url}: {name} says that it has {tensor.numel()} numbers and holds fewer; save it by .contiguous()"
        )
    if not bool(torch.isfinite(tensor).all()):
        raise LearnError(
            f"{url}: {name} holds numbers that are not finite, which would predict nothing; train it again"
        )


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Feature(_Declared):
    """An input or the target: normalised as (transform(x) - mean) / std."""

    name: str
    transform: Transform = ""
    mean: float
    std: float = Field(gt=0)


class Description(_Declared):
    """What published weights do not say of themselves: features in order, normalisation, sequence, limits.

    `uncertainty` are the numbers of the layer's calibration (`somo.learn.uncertainty.Uncertainty`). They are carried
    along for readers and not applied on import: without the training cells nothing tells how unlike them a cell is.
    """

    dynamic: tuple[Feature, ...] = Field(min_length=1)
    static: tuple[Feature, ...] = Field(min_length=1)
    target: Feature
    sequence: Sequence
    dropout: float = 0.0
    clip: float | None = 0.0
    static_limit: float | None = Field(default=None, gt=0)
    source: str = ""
    uncertainty: dict[str, float | str | tuple[float, ...]] = Field(default={})


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
        key = ".".join(str(name) for name in first["loc"])
        raise LearnError(f"{url}: {key}: {first['msg']}") from error


def describe(checkpoint: Checkpoint, uncertainty: Uncertainty | None = None) -> str:
    """The TOML that `read_description` reads, of a checkpoint whose weights are written in another package's style.

    Parameters
    ----------
    uncertainty : calibration of the checkpoint's layer; None of networks that do not know it
    """
    scaling, sequence = checkpoint.scaling, checkpoint.sequence.model_dump()
    lines = [
        f"source = {json.dumps(f'somo {checkpoint.layer} member {checkpoint.member}')}",
        *([] if checkpoint.clip is None else [f"clip = {checkpoint.clip}"]),
        *([] if scaling.static.limit is None else [f"static_limit = {scaling.static.limit}"]),
        f"dropout = {checkpoint.network.dropout}",
        f"sequence = {_inline(sequence)}",
        f"target = {_inline(*_features(scaling.target))}",
    ]
    for kind, scaler in (("dynamic", scaling.dynamic), ("static", scaling.static)):
        lines.append(f"{kind} = [\n{''.join(f'  {_inline(feature)},{chr(10)}' for feature in _features(scaler))}]")
    if uncertainty is not None:
        lines += ["[uncertainty]", *(f"{key} = {json.dumps(number)}" for key, number in asdict(uncertainty).items())]
    return "\n".join(lines) + "\n"


def _features(scaler: Scaler) -> list[dict[str, Any]]:
    """The features of a scaler as `Feature` declares them."""
    columns = zip(scaler.names, scaler.transforms, scaler.mean, scaler.std, strict=True)
    return [dict(zip(("name", "transform", "mean", "std"), column, strict=True)) for column in columns]


def _inline(table: Mapping[str, Any]) -> str:
    """An inline table of TOML, whose strings and numbers are written as JSON writes them."""
    return "{ " + ", ".join(f"{key} = {json.dumps(item)}" for key, item in table.items()) + " }"


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
    network = Ealstm(hidden=weights["weight_hh"].shape[0], dropout=described.dropout)
    static = replace(_scaler(described.static), limit=described.static_limit)
    scaling = Scaling(_scaler(described.dynamic), static, _scaler((described.target,)))
    provenance: dict[str, Any] = {"imported_from": described.source, "uncertainty": dict(described.uncertainty)}
    return Checkpoint(layer, member, weights, scaling, described.sequence, network, described.clip, provenance)


def _scaler(features: tuple[Feature, ...]) -> Scaler:
    return Scaler(
        tuple(f.name for f in features),
        tuple(f.transform for f in features),
        tuple(f.mean for f in features),
        tuple(f.std for f in features),
    )
