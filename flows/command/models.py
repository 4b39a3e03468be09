"""Import and export networks, and search hyperparameters: `somo model`."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cluster.connecting import cluster
from flows.command.options import Debug, ProductFile, Quiet, Root
from flows.console import output
from flows.environment import load_product, root_of
from flows.one_writer import one_writer

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Import and export networks, and search hyperparameters."
)

Layers = Annotated[str, typer.Option(help="Layers from the surface downward, separated by commas.")]


@app.command("import")
def import_(
    weights: Annotated[str, typer.Argument(help="State dict: .pt (tensors alone) or .safetensors.")],
    description: Annotated[str, typer.Argument(help="TOML with features, normalisation and sequence of the weights.")],
    to: Annotated[str, typer.Option(help="Folder or URL of the ensemble.")],
    layer: Annotated[str, typer.Option(help="Soil layer that it predicts.")] = "layer1",
    member: Annotated[int, typer.Option(help="Number of the member.")] = 0,
    debug: Debug = False,
) -> None:
    """Turn the weights of NeuralHydrology's EALSTM, or of Kratzert et al.'s, into a checkpoint.

    Nothing in the file is executed. When all members of all layers are there, `somo model complete` makes the ensemble
    visible.
    """
    from somo.learn.checkpoint import write_checkpoint
    from somo.learn.exchange import import_checkpoint, read_description, read_state_dict
    from somo.learn.trained import member_stem

    checkpoint = import_checkpoint(read_state_dict(weights), read_description(description), layer, member)
    stem = member_stem(to, layer, member)
    write_checkpoint(stem, checkpoint)
    output.print(f"{stem}.json: {checkpoint.network.hidden} hidden units, {', '.join(checkpoint.dynamic)}")


@app.command()
def complete(
    url: Annotated[str, typer.Argument(help="Folder or URL of the ensemble.")],
    layers: Layers = "layer1,layer2,layer3",
    members: Annotated[int, typer.Option(min=1, help="Members per layer.")] = 5,
    debug: Debug = False,
) -> None:
    """Check that every member can be read, then make an imported ensemble visible."""
    from somo.learn.checkpoint import read_checkpoint, write_ensemble
    from somo.learn.trained import member_stem

    names = tuple(name.strip() for name in layers.split(","))
    for name in names:
        for member in range(members):
            read_checkpoint(member_stem(url, name, member))
    write_ensemble(url, names, members, {"imported": True})
    output.print(f"{url}: {len(names)} layers of {members} members")


@app.command()
def export(
    checkpoint: Annotated[str, typer.Argument(help="A member: .../layer1/member0")],
    to: Annotated[Path, typer.Option(help="File to write, .safetensors or .pt")],
    style: Annotated[str, typer.Option(help="kratzert or neuralhydrology")] = "neuralhydrology",
    debug: Debug = False,
) -> None:
    """Write a member's weights as the state dict of another package's EA-LSTM, and beside it what describes them.

    The description (.toml) has features, normalisation, sequence and, where training learnt it, the calibration of the
    layer's uncertainty; `somo model import` reads it.
    """
    import safetensors.torch
    import torch

    from somo.learn.checkpoint import read_checkpoint
    from somo.learn.exchange import describe, to_state_dict
    from somo.learn.uncertainty import uncertainty_of_member

    if style not in ("kratzert", "neuralhydrology"):
        raise typer.BadParameter(f"{style!r}; allowed: kratzert, neuralhydrology", param_hint="--style")
    member = read_checkpoint(checkpoint)
    # Named again as literals, which the type of the style asks for.
    state = to_state_dict(member.weights, "kratzert" if style == "kratzert" else "neuralhydrology")
    if to.suffix == ".safetensors":
        safetensors.torch.save_file(state, to)
    else:
        torch.save(state, to)
    to.with_suffix(".toml").write_text(describe(member, uncertainty_of_member(checkpoint, member.layer)))
    output.print(f"{to}: {', '.join(state)}; described in {to.with_suffix('.toml')}")


@app.command()
def search(product: ProductFile, root: Root = "", quiet: Quiet = False, debug: Debug = False) -> None:
    """Try the hyperparameters of `[search]` over the folds; resumes, and does the stages before training first."""
    from flows.stages.ingest import ingest
    from flows.stages.learning.search import TABLE
    from flows.stages.learning.search import search as run_search
    from flows.stages.targets import build_targets
    from somo.storage.objects import join

    declared = load_product(product)
    where = root_of(declared, root)
    with one_writer(declared, where, "search"), cluster(declared) as client:
        inputs = ingest(declared, where, client)
        url = run_search(declared, where, inputs, build_targets(declared, where, inputs, client), client)
    output.print(f"trials: {join(url, TABLE)}")
