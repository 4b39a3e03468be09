"""What of a product exists, what is missing and what is next; reads only, and writes nothing."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from flows.results import forcing_files, forcing_inputs, models_url, report_page, sensors_url, targets_url, version_url
from flows.stages.production.price import pending
from somo.core.status import FINAL
from somo.core.words import counted
from somo.forcing.dataset import Inputs
from somo.forcing.references.reference_set import is_complete
from somo.product.declaration import Product
from somo.publish import manifest, netcdf
from somo.publish.store import drought, drought_update, regions, series
from somo.publish.store import maps as zarr
from somo.publish.store.drought_base import base_period
from somo.storage.listing import listed_once, listing
from somo.storage.objects import exists, join, read_bytes
from somo.validate.intervals import JUDGED, coverage
from somo.validate.matching import layer_skill

STAGES = ("ingest", "targets", "train", "produce", "publish", "validate")
COMPLETED = (*(f"validation/{name}.parquet" for name in ("targets", "sensors", "crossval")), "manifest.json")
POOLED = ", in pooled units: every series was given the mean and spread of its layer"
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Stage:
    """One stage of a product.

    Attributes
    ----------
    state : "done", "missing", "waiting" for an earlier stage, or "at work" on the status page of a run
    detail : what is there and what is not, for people
    url : where its results are
    bytes : of all results of this stage under the root, whatever they were made from
    """

    name: str
    state: str
    detail: str
    url: str = ""
    bytes: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing of the stage is missing."""
        return self.state == "done"

    @property
    def size(self) -> str:
        """Bytes for people."""
        power = min(int(np.log10(max(self.bytes, 1)) // 3), len(UNITS) - 1)
        return f"{self.bytes / 1000**power:.3g} {UNITS[power]}"

    def as_dict(self) -> dict[str, Any]:
        """The stage as plain values, for JSON."""
        return asdict(self)


def read_status(product: Product, root: str, tell: Callable[[str], None] = lambda _: None) -> list[Stage]:
    """Every stage in order; the first that is not done is next.

    Folders are listed once each, and nothing in them is asked for one by one.

    Parameters
    ----------
    tell : is told what is looked at next, since a slow store may take minutes for all
    """
    with listed_once():
        version = version_url(product, root)
        for folder in (*(join(root, name) for name in ("references", "static", "targets", "models")), version):
            tell(f"the list of {folder}")
            listing(folder)
        return list(_stages(product, root, tell))


def _stages(product: Product, root: str, tell: Callable[[str], None]) -> Iterator[Stage]:
    """Each stage's results are named by the results before it, so the first missing one hides what follows."""
    version = version_url(product, root)
    steps: tuple[tuple[tuple[str, ...], Callable[..., tuple[list[str], str, Any]]], ...] = (
        (("references", "static"), _ingest),
        (("targets",), _targets),
        (("models",), _train),
        ((f"v{product.version}/soil_moisture.zarr",), _produce),
        ((f"v{product.version}/netcdf", f"v{product.version}/validation"), _publish),
        ((f"v{product.version}/report",), _validate),
    )
    results: dict[str, Any] = {"version": version}
    waiting = ""
    for name, (folders, check) in zip(STAGES, steps, strict=True):
        size = sum(_bytes(join(root, folder)) for folder in folders)
        if waiting:
            yield Stage(name, "waiting", f"for {waiting}", bytes=size)
            continue
        tell(f"the results of {name}")
        missing, detail, result = check(product, root, results)
        results[name] = result
        url = result if isinstance(result, str) else join(root, folders[0])
        waiting = name if missing else ""
        yield Stage(name, "missing" if missing else "done", _short(missing) if missing else detail, url, size)


def _ingest(product: Product, root: str, results: dict[str, Any]) -> tuple[list[str], str, dict[str, Inputs]]:
    files = forcing_files(product)
    inputs, missing = forcing_inputs(product, root, files), []
    for domain, domain_inputs in inputs.items():
        missing += [
            f"references of {name} ({domain})" for name, url in domain_inputs.references.items() if not is_complete(url)
        ]
        if not exists(domain_inputs.static):
            missing.append(f"static features of {domain}")
    return missing, f"{sum(map(len, files.values()))} forcing files referenced", inputs


def _targets(product: Product, root: str, results: dict[str, Any]) -> tuple[list[str], str, str]:
    url = targets_url(product, root, results["ingest"])
    if not exists(url):
        return ["targets of this forcing and these archives"], "", url
    sensors = pd.read_parquet(io.BytesIO(read_bytes(sensors_url(url))), columns=["kept"])
    return [], f"{int(sensors['kept'].sum())} of {len(sensors)} sensors kept", url


def _train(product: Product, root: str, results: dict[str, Any]) -> tuple[list[str], str, str]:
    url = models_url(product, root, results["ingest"], results["targets"])
    missing = [] if exists(join(url, "ensemble.json")) else ["the ensemble of these targets"]
    return missing, f"{counted(product.training.members, 'member')} of {counted(len(product.layers), 'layer')}", url


def _produce(product: Product, root: str, results: dict[str, Any]) -> tuple[list[str], str, str]:
    missing, days = pending(product, root, results["ingest"], results["train"])
    return missing, f"{days} days", results["version"]


def _publish(product: Product, root: str, results: dict[str, Any]) -> tuple[list[str], str, str]:
    version, folder = results["version"], join(results["version"], "netcdf")
    if changed := [key for key in manifest.rewritten_objects(version) if not _judged(key)]:
        return [f"{key} as it was published" for key in changed], "", folder
    daily = zarr.read_visible(join(version, zarr.STORE))
    assert daily is not None  # its stage is done
    days = pd.date_range(product.period.start, periods=daily.days)
    years = netcdf.complete_years(days, daily.status == FINAL, product.period)
    wanted = [netcdf.file_url(version, product.name, layer.name, year) for year in years for layer in product.layers]
    missing = [url for url in (*wanted, *(join(version, name) for name in COMPLETED)) if not exists(url)]
    derived, by_country = (zarr.read_visible(join(version, name)) for name in (series.STORE, regions.STORE))
    if derived is None or not np.array_equal(derived.status, daily.status):
        missing.append("days of the store for series")
    # A grid that no country reaches has no series of countries; a store that was lost is told by its checksums.
    if by_country is not None and not np.array_equal(by_country.status, daily.status):
        missing.append("days of the series of countries")
    return missing + missing_drought(product, version, daily, years), f"{len(wanted)} yearly files", folder


def missing_drought(product: Product, version: str, daily: zarr.Visible, years: list[int]) -> list[str]:
    """What readers do not see yet of drought: windows of new days, or all after a change of `[drought]`.

    Parameters
    ----------
    version : URL of the version
    daily : its days that readers see
    years : those that are complete
    """
    base = base_period(product, years, drought.former_attrs(version))
    if base is None:
        return []
    days = pd.date_range(product.period.start, periods=daily.days)
    windows = drought.Windows.of(product, days, daily.status, base)
    return [] if drought_update.is_current(version, windows) else ["windows of drought as [drought] declares them"]


def _validate(product: Product, root: str, results: dict[str, Any]) -> tuple[list[str], str, str]:
    from flows.stages.validate import pending_sections
    from somo.validate.sections.register import sections_of

    missing = [f"section {name}" for name in pending_sections(product, results["version"])]
    if not missing:
        missing += [f"{key} as it was" for key in manifest.rewritten_objects(results["version"]) if _judged(key)]
    if not missing and not manifest.is_followed(root, f"v{product.version}"):
        missing.append("latest.json with the checksums of what was added")
    return missing, f"{len(sections_of(product))} sections", report_page(results["version"])


def _judged(key: str) -> bool:
    """Whether an object is the report's, which the last stage may make again."""
    return key.startswith("report/")


def _short(missing: list[str]) -> str:
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"missing: {missing[0]}{more}"


def _bytes(url: str) -> int:
    return sum(stored.size for stored in listing(url).values())


def summary(product: Product, root: str) -> str:
    """Skill and coverage per layer on held-back stations, and where everything is; what a run ends with."""
    version = version_url(product, root)
    pairs = pd.read_parquet(io.BytesIO(read_bytes(join(version, "validation", "crossval.parquet"))))
    scores = layer_skill(pairs, metrics=("pearson_r", "ubrmsd")).T.to_dict()
    held = coverage(pairs)
    skill = "\n".join(
        f"  {layer.name}: {_skill(scores.get(layer.name))}{_held(held.get(layer.name))}" for layer in product.layers
    )
    units = POOLED if product.targets.scaling == "pooled" else ""
    netcdf_folder, report = join(version, "netcdf"), report_page(version)
    return (
        f"{product.name} {product.version}: skill on held-back stations (cross-validation){units}\n{skill}\n"
        f"Zarr    {join(version, 'soil_moisture.zarr')}\nNetCDF  {netcdf_folder}\nReport  {report}"
        f"{_gate(join(version, 'report', 'report.json'))}"
    )


def _gate(url: str) -> str:
    """The gate's verdict as the report has it, with each failed check on a line of its own."""
    from somo.validate.gate.checks import Result
    from somo.validate.report.verdict import gate_line

    results = [Result(**fields) for fields in json.loads(read_bytes(url))["gate"]] if exists(url) else []
    if not results:
        return ""
    failed = [f"\n  {result.check}: {result.text}" for result in results if not result.passed]
    return f"\nGate    {gate_line(results)}{''.join(failed)}"


def _held(share: float | None) -> str:
    return "" if share is None else f"; the {JUDGED:.0%} interval holds {share:.0%} of the measurements"


def _skill(scores: dict[str, float] | None) -> str:
    """Medians over cells of one layer."""
    if not scores or not scores["cells"]:
        return "no cell with enough days"
    return f"median r {scores['pearson_r']:.3f}, ubRMSD {scores['ubrmsd']:.3f} m3 m-3 over {scores['cells']:.0f} cells"
