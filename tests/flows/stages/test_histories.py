"""Random histories of a product: readers see whole versions throughout, and the end is that of one run."""

import datetime as dt
import random

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import somo
from flows.stages import publish, release
from flows.stages.ingest import ingest
from flows.stages.production.region import produce_region
from somo.forcing.dataset import Inputs
from somo.product.declaration import Product
from somo.product.layout import shard_key
from somo.publish import manifest, verifying
from somo.publish.store import maps as store
from somo.storage.lease import put_changed
from tests.flows.stages.production.test_continuing import provisional, published
from tests.flows.stages.test_produce import Prepared
from tests.flows.stages.test_release import tables
from tests.predict import made

FIRST, LAST = dt.date(2020, 3, 1), dt.date(2020, 3, 28)
PERIOD = {"period": {"start": "2020-01-15"}}
# Networks of random weights owe nothing to skill or smoothness; what a history is about are whole and true bytes.
LAX = {"checks": {"max_seam": 1.0, "max_block_jump": 1.0, "max_year_jump": 1.0, "max_skill_drop": 2.0,
                  "min_applicable": 0.0, "min_coverage": 0.0, "max_coverage": 1.0,
                  # The made models are said to apply in the 14 of 93 cells, too, that have no forcing.
                  "max_nan_fraction": 14 / 93 + 1e-9}}  # fmt: skip


def histories(folder, client):
    """The state machine over one folder."""

    class Histories(RuleBasedStateMachine):
        number = 0

        @initialize()
        def begin(self):
            Histories.number += 1
            self.folder = folder / f"history{Histories.number}"
            self.folder.mkdir()
            declared = provisional(3, self.folder / "sources")
            self.made = Prepared(self.folder, client, f"{FIRST}", **PERIOD, **LAX, **declared)
            self.root = str(self.made.root)
            self.last, self.warmer, self.shown, self.released = FIRST, 0.0, {}, set()
            self.complete()

        @property
        def version(self):
            return self.made.product.version

        def write(self, prepared):
            """Forcing until the last day; the last three days, which are provisional, as they were revised last."""
            sources = prepared.sources
            made.write_sources(prepared.product, str(sources), sources, f"{self.last}")
            if self.warmer:
                with xr.open_dataset(sources / "t2m_2020.nc") as ds:
                    ds.load()
                ds["t2m"][-2:] += self.warmer
                ds.to_netcdf(sources / "t2m_2020.nc", encoding={"t2m": {"chunksizes": (1, 8, 12), "zlib": True}})
            prepared.inputs = ingest(prepared.product, str(prepared.root), client)

        def complete(self):
            """What the stages do from production on; the report is one page."""
            version_url, product = self.made.produce(), self.made.product
            judged = tables("1.0.0")
            judged["crossval"] = judged["crossval"].assign(uncertainty=0.01)
            for name, table in judged.items():
                put_changed(f"{version_url}/validation/{name}.parquet", table.to_parquet())
            publish.write_series(product, version_url, client)
            origins = {"home": Inputs({}, f"{self.root}/static/a.nc")}
            publish.write_papers(product, self.root, version_url, origins, "targets/a.parquet", self.made.models)
            put_changed(f"{version_url}/report/index.html", b"<p>report</p>")
            publish.write_catalog(product, version_url, client)
            release.follow(product, self.root)
            self.shown[self.version] = self.read(self.version)

        def read(self, version):
            """[layer, day, row, column] packed, as readers of a version see it."""
            url = f"{self.root}/v{version}/{store.STORE}"
            days = slice(0, store.read_visible(url).days)
            return store.read_packed(url, "soil_moisture", days, (slice(0, 8), slice(0, 12)))

        @rule(days=st.integers(1, 9))
        @precondition(lambda self: self.last < LAST)
        def extend(self, days):
            self.last, self.warmer = min(self.last + dt.timedelta(days), LAST), 0.0
            self.write(self.made)
            self.complete()

        @rule(kelvin=st.sampled_from([-2.0, 1.5]))
        def revise(self, kelvin):
            self.warmer = kelvin
            self.write(self.made)
            self.complete()

        @rule(seed=st.integers(0, 99), days=st.integers(1, 5))
        @precondition(lambda self: self.last < LAST)
        def killed(self, seed, days):
            """New days arrive, and the run ends after some of its regions."""
            self.last, self.warmer = min(self.last + dt.timedelta(days), LAST), 0.0
            self.write(self.made)
            wanted = self.made.wanted()
            works = list(wanted.work)
            random.Random(seed).shuffle(works)
            for work in works[: len(works) // 2]:
                produce_region(wanted.job, work)

        @rule(seed=st.integers(0, 99))
        def lose_a_state(self, seed):
            states = sorted((self.made.root / "states").rglob("*.state"))
            if states:
                path = random.Random(seed).choice(states)
                path.write_bytes(path.read_bytes()[:-7] + b"damaged")

        @rule()
        def lose_a_shard(self):
            for side in (0, 1):
                key = shard_key("soil_moisture_std", side, 1, (0, 0))
                (self.made.root / f"v{self.version}" / store.STORE / key).unlink(missing_ok=True)
            self.complete()

        @rule()
        @precondition(lambda self: self.version == "1.0.0")
        def retrain(self):
            """Other networks under a higher version, which is the one that grows from here on."""
            changes = {**self.made.product.model_dump(mode="json"), "version": "1.1.0"}
            self.made.product = Product.model_validate(changes)
            self.made.models = made.write_ensemble_of(self.made.product, f"{self.root}/models/def", seed=1)
            made.write_calibration_of(self.made.product, self.made.models)
            self.complete()

        @rule()
        @precondition(lambda self: self.version not in self.released)
        def release(self):
            self.complete()
            release.release(self.made.product, self.root, client)
            self.released.add(self.version)

        @rule()
        @precondition(lambda self: len(self.released) == 2)
        def withdraw(self):
            assert release.withdraw(self.made.product, self.root, self.version) == "1.0.0"
            self.released.discard(self.version)

        @invariant()
        def readers_see_whole_versions(self):
            for version, values in self.shown.items():
                np.testing.assert_array_equal(self.read(version), values)

        @invariant()
        def the_latest_is_the_newest_that_was_released(self):
            if self.released:
                with somo.open(self.root) as latest:
                    shown = self.shown[max(self.released)]
                    assert latest["soil_moisture"].shape == shown.shape
                    assert latest.attrs["product_version"] == max(self.released)

        def teardown(self):
            if not self.shown:
                return
            self.complete()
            for version in self.shown:
                assert manifest.rewritten_objects(f"{self.root}/v{version}") == []
            if self.released:
                *_, (_, _, damage) = verifying.verify(self.root)
                assert damage == []
            assert self.made.wanted().complete
            once = self.folder / "once"
            once.mkdir()
            alone = Prepared(once, client, f"{self.last}", **PERIOD, **LAX, **provisional(3, once / "sources"))
            alone.product, models = self.made.product.model_copy(update={"forcing": alone.product.forcing}), "def"
            if self.version == "1.1.0":
                alone.models = made.write_ensemble_of(alone.product, f"{alone.root}/models/{models}", seed=1)
                made.write_calibration_of(alone.product, alone.models)
            self.write(alone)
            alone.produce()
            url = f"{store.STORE}/"
            grown, fresh = (
                {key: digest for key, digest in published(root, self.version).items() if key.startswith(url)}
                for root in (self.made.root, alone.root)
            )
            assert grown == fresh

    return Histories


def test_every_history_ends_as_one_run(tmp_path, client):
    # A step is a run of seconds: a history that fails is reported as it was drawn, since making it shorter takes hours.
    checks = settings(
        max_examples=3, stateful_step_count=6, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(histories(tmp_path, client), settings=checks)
