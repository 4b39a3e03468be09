"""The gate of a version, and where it keeps what it found in blocks of days that will not change."""

from flows.results import version_url
from flows.stages.publish import released_before
from flows.stages.validation.section_inputs import block_of
from somo.core.status import FINAL
from somo.product.declaration import Product, content_hash
from somo.publish.manifest import read_manifest
from somo.publish.store import maps as store
from somo.storage.objects import join
from somo.validate.gate.checks import Result, run_checks

EVIDENCE_FORMAT = 1


def gate_results(product: Product, root: str) -> list[Result]:
    """What every check says of the declared version, beside the newest version released before it."""
    previous = released_before(product, root)
    former = previous and join(root, f"v{previous}")
    return run_checks(product, version_url(product, root), former, block_evidence(product, root))


def block_evidence(product: Product, root: str) -> dict[int, str]:
    """Block of days -> URL of its evidence, of every whole and final block whose checksums were taken.

    The name stands for the bytes of the block and of the one before, into whose last day the first day's jump looks.
    """
    version = f"v{product.version}"
    visible = store.read_visible(join(root, version, store.STORE))
    if visible is None:
        return {}
    days, count = product.region_days, visible.days // product.region_days
    shards: dict[int, list[tuple[str, str]]] = {block: [] for block in range(count)}
    for key, entry in sorted(read_manifest(join(root, version)).items()):
        if (block := block_of(key)) in shards:
            shards[block].append((key.split("/")[1], entry.sha256))
    urls = {}
    for block, block_shards in shards.items():
        if block_shards and (visible.status[block * days : (block + 1) * days] == FINAL).all():
            name = content_hash(EVIDENCE_FORMAT, visible.method, block, block_shards, shards.get(block - 1))
            urls[block] = join(root, "checks", version, f"{block:04d}-{name}.npz")
    return urls
