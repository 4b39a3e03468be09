"""What an ensemble was trained with, from its descriptions alone: neither weights are read nor PyTorch is imported.

A checkpoint is two plain files, `<stem>.safetensors` and the JSON that describes it (`somo.learn.checkpoint`); an
ensemble's folder is complete once it holds `ensemble.json`.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from somo.learn import LearnError
from somo.product.method import Sequence
from somo.product.network import NetworkKind, network_of
from somo.storage.objects import exists, join, read_bytes

FORMAT = 1
ENSEMBLE = "ensemble.json"
KEYS = ("layer", "member", "scaling", "sequence", "network", "clip", "provenance", "weights_sha256")
"""Of a checkpoint's description, beside its format."""
# How files of torch.save begin: a zip since PyTorch 1.6, a bare pickle before.
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


@dataclass(frozen=True)
class Trained:
    """What all networks of an ensemble share, as its first one tells it.

    Attributes
    ----------
    url : folder of the ensemble
    layers : soil layers, from the surface downward
    members : networks of each layer
    dynamic : forcing variables in the order of the inputs
    static : static features in the order of the inputs
    sequence, network : settings of the training
    """

    url: str
    layers: tuple[str, ...]
    members: int
    dynamic: tuple[str, ...]
    static: tuple[str, ...]
    sequence: Sequence
    network: NetworkKind

    @property
    def networks(self) -> int:
        """Of all layers."""
        return self.members * len(self.layers)


def read_trained(url: str) -> Trained:
    """Read what the ensemble in a folder was trained with.

    Raises
    ------
    LearnError
        if the ensemble is not complete, or its first description is not one of this SoMo
    """
    described = read_ensemble_description(url)
    stem = member_stem(url, described["layers"][0], 0)
    first = read_description(f"{stem}.json")
    try:
        dynamic, static = (tuple(first["scaling"][kind]["names"]) for kind in ("dynamic", "static"))
        sequence, network = Sequence.model_validate(first["sequence"]), network_of(first["network"])
    except (TypeError, KeyError, ValidationError) as error:
        raise foreign_description(stem, error) from error
    return Trained(url, tuple(described["layers"]), described["members"], dynamic, static, sequence, network)


def foreign_description(stem: str, error: Exception) -> LearnError:
    """What is said of a description with other keys or values than this SoMo's."""
    return LearnError(f"{stem}.json: not a checkpoint of this version of somo ({error}); train again")


def read_ensemble_description(url: str) -> dict[str, Any]:
    """Layers and number of members of the ensemble in a folder.

    Raises
    ------
    LearnError
        if the ensemble is not complete, or its description is damaged
    """
    if not exists(join(url, ENSEMBLE)):
        raise LearnError(f"{url}: no complete ensemble ({ENSEMBLE} is missing); run the train stage to its end")
    described = _document(join(url, ENSEMBLE))
    if described.get("format") != FORMAT:
        raise LearnError(f"{url}: ensemble format {described.get('format')!r}, this somo reads {FORMAT}; train again")
    if not described.get("layers") or not described.get("members"):
        raise LearnError(f"{join(url, ENSEMBLE)}: names no layers or no members; train again or restore the file")
    return described


def read_description(url: str) -> dict[str, Any]:
    """What the JSON beside a checkpoint's weights says, its format left out.

    Raises
    ------
    LearnError
        naming the file and what is wrong with it
    """
    described = _document(url)
    version = described.pop("format", None)
    if version != FORMAT:
        raise LearnError(f"{url}: checkpoint format {version!r}, this somo reads {FORMAT}; train again or use its somo")
    _require_keys(url, described)
    return described


def _document(url: str) -> dict[str, Any]:
    """A description as it is stored."""
    data = read_bytes(url)
    refuse_pickle(url, data)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise LearnError(f"{url}: truncated or not JSON ({error}); train again or restore the file") from error
    return document if isinstance(document, dict) else {}


def _require_keys(url: str, described: Collection[str]) -> None:
    if differing := ", ".join(sorted(set(described) ^ set(KEYS))):
        raise LearnError(f"{url}: keys missing or unknown: {differing}; train again")


def refuse_pickle(url: str, data: bytes) -> None:
    """Refuse what could run code when it is loaded."""
    if data[:4] == _ZIP or data[:1] == _PICKLE:
        raise LearnError(
            f"{url}: a pickle, which can run code when loaded, and is never opened as a checkpoint; convert a "
            "published model with `somo model import`"
        )


def member_stem(url: str, layer: str, member: int) -> str:
    """Where one member of an ensemble is kept, without suffix."""
    return join(url, layer, f"member{member}")
