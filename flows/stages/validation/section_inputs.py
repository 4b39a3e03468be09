"""What each section of the report is made from, and its hash: a new day remakes what shows it and nothing else."""

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.results import archive_names, sensor_rules
from somo.core.status import FINAL
from somo.product.declaration import Product, content_hash
from somo.product.layout import block_of_shard
from somo.publish.manifest import Entry, digest_of, read_manifest
from somo.publish.store import maps as store
from somo.storage.contents import recorded_content
from somo.storage.objects import join
from somo.validate.published import ValidationError
from somo.validate.season_days import season_days
from somo.validate.sections.register import ReportSection


class SectionInputs:
    """Hashes of what the sections of one version are made from, each worked out once.

    Days are named by number, status and method: final days never change. Provisional ones may, so the checksums of the
    shards that hold them count too.
    """

    def __init__(self, product: Product, version_url: str) -> None:
        self.product, self.version_url = product, version_url

    def key(self, section: ReportSection) -> str:
        """Hash of everything that a section is made from."""
        product = self.product
        declared = product.name, product.layers, product.targets.scaling, product.training, product.sequence
        return content_hash(section.name, *declared, *(getattr(self, name) for name in section.made_of))

    @property
    def root(self) -> str:
        """The bucket that the version lies in."""
        return self.version_url.rsplit("/", 1)[0]

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """The version's manifest."""
        return read_manifest(self.version_url)

    @cached_property
    def visible(self) -> store.Visible:
        """The days that readers see.

        Raises
        ------
        ValidationError
            if nothing is published
        """
        visible = store.read_visible(join(self.version_url, store.STORE))
        if visible is None:
            raise ValidationError(f"{self.version_url}: nothing is published there; run the stage produce first")
        return visible

    @cached_property
    def times(self) -> pd.DatetimeIndex:
        """The same days as dates."""
        return pd.date_range(self.product.period.start, periods=self.visible.days)

    @property
    def method(self) -> str:
        """Models, features and settings that the version was made with."""
        return self.visible.method

    @cached_property
    def skill(self) -> str:
        """Out-of-fold predictions."""
        return digest_of(self.version_url, "validation/crossval.parquet", self.entries)

    @cached_property
    def stations(self) -> tuple[str, ...]:
        """Targets and sensors."""
        tables = ("validation/targets.parquet", "validation/sensors.parquet")
        return tuple(digest_of(self.version_url, key, self.entries) for key in tables)

    @cached_property
    def independent(self) -> tuple[object, ...]:
        """Archives that were kept out of training, and the rules by which their sensors are kept."""
        return archive_names(self.product, self.root, "independent"), sensor_rules(self.product)

    @cached_property
    def compared(self) -> tuple[object, ...]:
        """Other products: how they are declared, and their files for the published days."""
        from somo.forcing.fields import find_fields
        from somo.validate.datasets import compared_files

        layers, times = self.product.layers, self.times
        named = [(c.model_dump_json(exclude={"url"}), self.compared_until) for c in self.product.compare]
        files = [file for c in self.product.compare for file in compared_files(c, layers, times, find_fields)]
        contents = [recorded_content(self.root, file.url, file.fingerprint) for file in files]
        return (*named, *zip([file.url.rsplit("/", 1)[-1] for file in files], contents, strict=True))

    @cached_property
    def compared_until(self) -> int | None:
        """Last year of which another product has a file; None where their files name no year."""
        from somo.forcing.fields import find_fields
        from somo.validate.datasets import last_year

        years = [last_year(c, self.product.layers, self.times, find_fields) for c in self.product.compare]
        return None if None in years or not years else max(year for year in years if year is not None)

    @cached_property
    def days(self) -> tuple[object, ...]:
        """All published days."""
        return self._days(np.ones(self.visible.days, bool))

    @property
    def settled_days(self) -> int:
        """Days of the whole blocks before the first day that is not final; all of them where there is no such block.

        A mean over years takes these: one day more changes nothing that a picture shows, and would cost all years.
        """
        final = int(np.append(self.visible.status == FINAL, False).argmin())
        return final // self.product.region_days * self.product.region_days or self.visible.days

    @cached_property
    def settled(self) -> tuple[object, ...]:
        """Published days of the blocks that are whole and final."""
        return self._days(np.arange(self.visible.days) < self.settled_days)

    @cached_property
    def common_days(self) -> tuple[object, ...]:
        """Published days of the years in which there is anything to compare with."""
        until = self.compared_until
        return self._days(np.ones(self.visible.days, bool) if until is None else np.asarray(self.times.year <= until))

    @cached_property
    def season(self) -> tuple[object, ...]:
        """Published days of the whole seasons that the report looks at."""
        report = self.product.report
        return (report, *self._days(season_days(self.times, report.season)))

    def _days(self, used: NDArray[np.bool_]) -> tuple[object, ...]:
        # Days after the last used one are cut off: a new day must not rename what does not show it.
        status = np.trim_zeros(np.where(used, self.visible.status, -1) + 1, "b") - 1
        open_blocks = np.unique(np.flatnonzero(used & (self.visible.status != FINAL)) // self.product.region_days)
        shards = sorted(
            (key, entry.sha256)
            for key, entry in self.entries.items()
            if len(open_blocks) and (block := block_of(key)) is not None and block in open_blocks
        )
        edges = np.flatnonzero(np.diff(status, prepend=-2))
        return (self.method, len(status), *zip(edges.tolist(), status[edges].tolist(), strict=True), *shards)


def block_of(key: str) -> int | None:
    """Block of days of a shard of the store for maps; None of other objects."""
    return block_of_shard(key) if key.startswith(f"{store.STORE}/") else None
