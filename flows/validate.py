"""Judge a published version: every section of the report that its product allows, each resumable."""

from collections.abc import Callable

from dask.distributed import Client

from somo.core.product import Product, content_hash
from somo.core.storage import fingerprint, join
from somo.validate.maps import overview_section
from somo.validate.published import Published, open_published
from somo.validate.report import write_report
from somo.validate.section import Section, read_section, write_section
from somo.validate.skill import series_section, split_section

Make = Callable[[Published], Section]


def _crossval(published: Published) -> Section:
    how = (
        "Out-of-fold predictions of a spatial cross-validation: whole cells are held back, their neighbours with them."
    )
    return split_section(published.crossval, "figS3", "Spatial cross-validation (Fig S3)", how)


SECTIONS: dict[str, Make] = {
    "overview": overview_section,
    "figS3": _crossval,
    "series": lambda published: series_section(published.crossval),
}


def validate(product: Product, root: str, version_url: str, client: Client, only: str | None = None) -> str:
    """Make the missing sections (or remake `only`) and the report; returns the URL of its page."""
    published = open_published(version_url, tuple(layer.name for layer in product.layers))
    folder = join(version_url, "report")
    inputs = _inputs(product, version_url)
    sections = []
    for name, make in SECTIONS.items():
        section = None if name == only else read_section(folder, name, inputs)
        if section is None and only in (None, name):
            section = make(published)
            write_section(section, folder, inputs)
        if section is not None:
            sections.append(section)
    return write_report(sections, folder, _about(product, published))


def _inputs(product: Product, version_url: str) -> str:
    seen = ["soil_moisture.zarr/zarr.json", *(f"validation/{t}.parquet" for t in ("crossval", "targets", "sensors"))]
    return content_hash(product, *(fingerprint(join(version_url, name)) for name in seen))


def _about(product: Product, published: Published) -> dict[str, str]:
    title = product.publication.title or product.name
    return {"title": title, "version": product.version, "period": published.period, "url": published.url}
