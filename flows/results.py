"""Where every stage keeps its results: each URL and each hash is decided here, once.

A result is named by the hash of what it is made from, so an existing result is the resume. Stages ask here before they
work, and whoever only looks (status, validation, publication) asks here instead of a stage.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from flows.today import today
from somo.core.variables import SOIL_MOISTURE
from somo.forcing.dataset import Inputs
from somo.forcing.references.chunks import contents_of
from somo.forcing.references.reference_set import is_complete, reference_url
from somo.forcing.sources import ForcingError, SourceFile, find_files, needed_days, product_files
from somo.forcing.statics.static_file import climate_period, static_url
from somo.insitu.sources.readers import archive_content, archive_version
from somo.product.declaration import Product, content_hash, without_places
from somo.product.inputs import Insitu, Period, ReferenceLayer
from somo.product.method import Drought
from somo.storage.contents import record_content, recorded_content
from somo.storage.objects import join

# Raised by one when the content of a result changes although its inputs do not, so that it is made again.
TARGETS_FORMAT = 2
SAMPLES_FORMAT = 1
MODELS_FORMAT = 3

Files = Mapping[tuple[str, str], tuple[SourceFile, ...]]


def forcing_files(product: Product) -> dict[tuple[str, str], tuple[SourceFile, ...]]:
    """(domain, variable) -> the files of every forcing variable for the days that the product needs."""
    first, last = needed_days(product)
    return {
        (domain, name): listed
        for domain in product.grids()
        for name, listed in product_files(product, domain, first, last, today()).items()
    }


def forcing_inputs(product: Product, root: str, files: Files) -> dict[str, Inputs]:
    """Domain -> where the references of these files and the static features made with them are, or will be."""
    inputs = {}
    for domain in product.grids():
        references = {
            name: reference_url(root, name, domain, source, files[domain, name])
            for name, source in product.in_domain(domain).sources.items()
            if (domain, name) in files
        }
        inputs[domain] = Inputs(references, static_url(root, product, domain, references))
    return inputs


def scaling_days(product: Product) -> Period:
    """Days whose values decide the scaling: those learnt from, so that new days change nothing."""
    return product.training.period or product.period


def reference_days(product: Product) -> Period:
    """Days over which sensors are scaled to the reference model: its own period, or those learnt from."""
    return product.targets.reference_period or scaling_days(product)


def reference_files(product: Product) -> list[tuple[SourceFile, ...]]:
    """The files of every reference layer and domain, with their fingerprints."""
    days = reference_days(product)
    files = []
    for layer in product.targets.reference:
        with naming_reference(layer):
            for domain in product.grids():
                files.append(find_files(SOIL_MOISTURE.name, layer.source, domain, days.start, days.end, today()))
    return files


@contextmanager
def naming_reference(layer: ReferenceLayer) -> Iterator[None]:
    """Let an error about files, which are read as forcing is, name the reference model and what else can be done."""
    try:
        yield
    except ForcingError as error:
        text = str(error).replace(f"forcing.{SOIL_MOISTURE.name}", "targets.reference.source")
        raise ForcingError(
            f"[[targets.reference]] {layer.top_m:g}-{layer.bottom_m:g} m: {text}. The reference model has to cover the "
            "cells of the product and the days of training.period, or of targets.reference_period; "
            'scaling = "pooled" and "none" need none'
        ) from error


def daily_folder(root: str, archive: Insitu) -> str:
    """Folder of the daily means of an archive's sensors; each object in it is named by the hash of their files."""
    return join(root, "daily", archive.name)


def targets_url(product: Product, root: str, inputs: Mapping[str, Inputs], role: str = "training") -> str:
    """Where the targets of these archives, rules and cells are kept."""
    cells = {domain: i.static.rsplit("/", 1)[-1] for domain, i in inputs.items()}
    if role == "training":
        rules: tuple[object, ...] = (
            scaling_days(product), without_places(product.targets), reference_contents(product, root)
        )  # fmt: skip
        days = None
    else:
        # Cut to the period of the product, where series to learn from have days of their own.
        rules, days = sensor_rules(product), product.period
    named = content_hash(TARGETS_FORMAT, archive_names(product, root, role), product.layers, cells, rules, days)
    return join(root, "targets", f"{named}.parquet")


def archive_names(product: Product, root: str, role: str) -> list[tuple[object, str]]:
    """How every archive of a role is declared, and the name of its bytes."""
    return [(without_places(a), recorded_archive(root, a)) for a in product.insitu if a.role == role]


def sensor_rules(product: Product) -> tuple[object, ...]:
    """What decides which sensors of independent archives are kept; they are never scaled."""
    return product.targets.min_days, product.targets.max_equal_share


def recorded_archive(root: str, archive: Insitu) -> str:
    """Name of an archive's bytes where the targets stage has recorded it, else of its version at this place."""
    return recorded_content(root, archive.url, archive_version(archive))


def record_archives(product: Product, root: str, role: str) -> None:
    """Record the content of archives, by which targets are named: an archive that moved is then still the same."""
    for archive in product.insitu:
        if archive.role == role:
            record_content(root, archive.url, archive_version(archive), partial(archive_content, archive))


def reference_contents(product: Product, root: str) -> list[object]:
    """Names and contents of the reference model's files; before they are referenced, the files with their places."""
    files = iter(reference_files(product))
    contents: list[object] = []
    for layer in product.targets.reference:
        for domain in product.grids():
            listed = next(files)
            url = reference_url(root, SOIL_MOISTURE.name, domain, layer.source, listed)
            contents.append(contents_of(url) if is_complete(url) else listed)
    return contents


def sensors_url(targets: str) -> str:
    """Where the table of sensors that belongs to a table of targets is kept."""
    return targets.removesuffix(".parquet") + ".sensors.parquet"


def samples_url(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str) -> str:
    """Where the samples of these inputs and targets are kept.

    The name of a static file stands for the forcing of the days that are learnt from, whose statistics it holds.
    """
    features = sorted((domain, i.static.rsplit("/", 1)[-1]) for domain, i in inputs.items())
    key = content_hash(SAMPLES_FORMAT, targets.rsplit("/", 1)[-1], features, product.inputs, learnt_days(product))
    return join(root, "samples", f"{key}.safetensors")


def learnt_days(product: Product) -> tuple[dt.date, dt.date]:
    """First day of forcing and last day of target that are learnt from."""
    first, last = climate_period(product)
    if product.training.period is not None:
        # A declared period is the one of the targets, whose first day needs its spin-up before it.
        first = first - dt.timedelta(product.sequence.spinup_days)
    return first, last


def models_url(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str) -> str:
    """Where the networks learnt from these inputs and targets with these settings are kept."""
    samples = samples_url(product, root, inputs, targets)
    # The first day decides where the blocks begin that the cross-validation judges (`flows.stages.train.first_block`).
    settings: tuple[object, ...] = (product.network, product.sequence, product.training, product.period.start)
    # The calibration beside the networks tells what share of the uncertainty is left in anomalies of such windows.
    if (window_days := product.drought.window_days) != Drought().window_days:
        settings = (*settings, window_days)
    return join(root, "models", content_hash(MODELS_FORMAT, samples.rsplit("/", 1)[-1], *settings))


def search_url(product: Product, root: str, samples: str) -> str:
    """Where a study is kept; a study with more trials continues one with fewer."""
    settings = (product.network, product.sequence, product.training)
    declared = product.search.model_copy(update={"trials": 1})
    return join(root, "search", content_hash(samples.rsplit("/", 1)[-1], *settings, declared))


def version_url(product: Product, root: str) -> str:
    """Folder of everything published of the declared version."""
    return join(root, f"v{product.version}")


def report_url(version: str) -> str:
    """Folder of a version's report."""
    return join(version, "report")


def report_page(version: str) -> str:
    """The report's page for people."""
    return join(report_url(version), "index.html")
