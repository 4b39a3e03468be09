"""A trained network as two plain files: safetensors weights and a JSON that says what they mean."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from somo.learn import LearnError
from somo.learn.networks.register import parameter_shapes
from somo.learn.normalising import Scaling
from somo.learn.trained import (
    ENSEMBLE,
    FORMAT,
    foreign_description,
    member_stem,
    read_description,
    read_ensemble_description,
    refuse_pickle,
)
from somo.product.method import Sequence
from somo.product.network import NetworkKind, network_of
from somo.storage.objects import checksum, join, put, read_bytes


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One member of one layer.

    Attributes
    ----------
    layer : name of the soil layer it predicts
    member : number of the member
    weights : parameters of the network by name (of an EA-LSTM in Kratzert's layout: gates f, o, g)
    scaling : normalisation, with the features in order
    sequence, network : the settings it was trained with and must be run with
    clip : smallest value that leaves the network, m3 m-3; None for no limit
    provenance : where it comes from (versions, hashes, scores), for people
    """

    layer: str
    member: int
    weights: Mapping[str, Tensor]
    scaling: Scaling
    sequence: Sequence
    network: NetworkKind
    clip: float | None = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dynamic(self) -> tuple[str, ...]:
        """Daily inputs in order; the last ones are soil moisture of upper layers in deeper layers' networks."""
        return self.scaling.dynamic.names

    @property
    def static(self) -> tuple[str, ...]:
        """Static inputs in order."""
        return self.scaling.static.names


@dataclass(frozen=True, eq=False)
class Ensemble:
    """All members of all layers, from the surface downward.

    Attributes
    ----------
    url : folder it was read from
    layers : layer name -> members
    """

    url: str
    layers: Mapping[str, tuple[Checkpoint, ...]]

    @property
    def sequence(self) -> Sequence:
        """Lookback, lag and block length, which all its checkpoints share."""
        return next(iter(self.layers.values()))[0].sequence

    @property
    def dynamic(self) -> tuple[str, ...]:
        """Forcing variables in the order of the inputs of every layer."""
        return next(iter(self.layers.values()))[0].dynamic

    @property
    def static(self) -> tuple[str, ...]:
        """Static features in the order of the inputs of every layer."""
        return next(iter(self.layers.values()))[0].static

    def require(self, dynamic: tuple[str, ...], static: tuple[str, ...]) -> None:
        """Refuse to run on other features than the ensemble was trained on.

        Raises
        ------
        LearnError
            naming both lists
        """
        for kind, want, got in (("forcing", self.dynamic, dynamic), ("static features", self.static, static)):
            if want != got:
                raise LearnError(
                    f"{self.url}: trained on {kind} {', '.join(want)}, given {', '.join(got)}; train again or declare "
                    "the same features in the same order"
                )


def upper_input(layer: str) -> str:
    """Name under which the soil moisture of an upper layer enters the layers below."""
    return f"soil_moisture_{layer}"


def write_checkpoint(stem: str, checkpoint: Checkpoint) -> None:
    """Write `<stem>.safetensors`, then `<stem>.json`, which makes it visible."""
    # safetensors refuses views that share memory or are not contiguous, and knows nothing of gradients.
    data = safetensors.torch.save({name: w.detach().cpu().contiguous() for name, w in checkpoint.weights.items()})
    described = {
        "format": FORMAT,
        "layer": checkpoint.layer,
        "member": checkpoint.member,
        "scaling": asdict(checkpoint.scaling),
        "sequence": checkpoint.sequence.model_dump(),
        "network": checkpoint.network.model_dump(),
        "clip": checkpoint.clip,
        "provenance": dict(checkpoint.provenance),
        "weights_sha256": checksum(data),
    }
    # Readers look for the JSON: weights that it names must lie there before.
    put(f"{stem}.safetensors", data)
    put(f"{stem}.json", json.dumps(described, indent=1).encode())


def read_checkpoint(url: str) -> Checkpoint:
    """Read a checkpoint by its stem, its `.json` or its `.safetensors`.

    Raises
    ------
    LearnError
        naming file and reason: not a checkpoint, another version, truncated, a pickle, weights that do not fit
    """
    stem = url.removesuffix(".json").removesuffix(".safetensors")
    described = read_description(f"{stem}.json")
    weights = _weights(f"{stem}.safetensors", described.pop("weights_sha256"))
    try:
        checkpoint = Checkpoint(
            **{
                **described,
                "weights": weights,
                "scaling": Scaling.from_dict(described["scaling"]),
                "sequence": Sequence.model_validate(described["sequence"]),
                "network": network_of(described["network"]),
            }
        )
    except (TypeError, ValidationError) as error:
        raise foreign_description(stem, error) from error
    _require_shapes(stem, checkpoint)
    return checkpoint


def _weights(url: str, digest: str) -> dict[str, Tensor]:
    data = read_bytes(url)
    # Before the checksum is compared: it would differ too, but only this error says what to do instead.
    refuse_pickle(url, data)
    if checksum(data) != digest:
        raise LearnError(
            f"{url}: its bytes are not those its JSON names (truncated or replaced); restore the file or train again"
        )
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise LearnError(f"{url}: not a safetensors file ({error}); train again") from error


def _require_shapes(stem: str, checkpoint: Checkpoint) -> None:
    want = parameter_shapes(len(checkpoint.dynamic), len(checkpoint.static), checkpoint.network)
    got = {name: tuple(w.shape) for name, w in checkpoint.weights.items()}
    if got != want:
        name = next(n for n in [*want, *got] if got.get(n) != want.get(n))
        raise LearnError(
            f"{stem}: weight {name} has shape {got.get(name)}, its features and network settings make "
            f"{want.get(name)}; train again with these features"
        )


def write_ensemble(url: str, layers: tuple[str, ...], members: int, provenance: Mapping[str, Any]) -> None:
    """Make an ensemble visible; all its members must have been written before."""
    described = {"format": FORMAT, "layers": list(layers), "members": members, "provenance": dict(provenance)}
    put(join(url, ENSEMBLE), json.dumps(described, indent=1).encode())


def read_ensemble(url: str) -> Ensemble:
    """All members of all layers under `url`.

    Raises
    ------
    LearnError
        if the ensemble is not complete, or as `read_checkpoint`
    """
    described = read_ensemble_description(url)
    members = range(described["members"])
    layers = {
        layer: tuple(read_checkpoint(member_stem(url, layer, k)) for k in members) for layer in described["layers"]
    }
    return Ensemble(url, layers)
