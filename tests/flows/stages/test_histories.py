"""Random histories of a version: readers see a whole state throughout, and the end is that of one run."""

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

from flows.stages.ingest import ingest
from flows.stages.production.region import produce_region
from flows.stages.publish import describe_changed
from somo.product.layout import shard_key
from somo.publish.manifest import rewritten_objects, write_manifest
from somo.publish.store import maps as store
from tests.flows.stages.production.test_continuing import provisional, published
from tests.flows.stages.test_produce import Prepared
from tests.predict import made

FIRST = dt.date(2020, 3, 1)
PERIOD = {"period": {"start": "2020-01-15"}}


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
            self.made = Prepared(self.folder, client, f"{FIRST}", **PERIOD, **declared)
            self.last, self.warmer, self.shown = FIRST, 0.0, None
            self.produce()

        def write(self, root):
            """Forcing until the last day; the last three days, which are provisional, as they were revised last."""
            made.write_sources(root.product, str(root.sources), root.sources, f"{self.last}")
            if self.warmer:
                with xr.open_dataset(root.sources / "t2m_2020.nc") as ds:
                    ds.load()
                ds["t2m"][-2:] += self.warmer
                ds.to_netcdf(root.sources / "t2m_2020.nc", encoding={"t2m": {"chunksizes": (1, 8, 12), "zlib": True}})
            root.inputs = ingest(root.product, str(root.root), client)

        def produce(self):
            self.made.produce()
            version = str(self.made.root / "v1.0.0")
            write_manifest(version, describe_changed(version, client))
            self.shown = self.read()

        def read(self):
            """[layer, day, row, column] packed, as readers see it."""
            url = str(self.made.root / "v1.0.0" / store.STORE)
            days = slice(0, store.read_visible(url).days)
            return store.read_packed(url, "soil_moisture", days, (slice(0, 8), slice(0, 12)))

        @rule(days=st.integers(1, 9))
        @precondition(lambda self: self.last < dt.date(2020, 3, 28))
        def extend(self, days):
            self.last, self.warmer = self.last + dt.timedelta(days), 0.0
            self.write(self.made)
            self.produce()

        @rule(kelvin=st.sampled_from([-2.0, 1.5]))
        def revise(self, kelvin):
            self.warmer = kelvin
            self.write(self.made)
            self.produce()

        @rule(seed=st.integers(0, 99), days=st.integers(1, 5))
        @precondition(lambda self: self.last < dt.date(2020, 3, 28))
        def killed(self, seed, days):
            """New days arrive, and the run ends after some of its regions."""
            self.last, self.warmer = self.last + dt.timedelta(days), 0.0
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
                (self.made.root / "v1.0.0" / store.STORE / key).unlink(missing_ok=True)
            self.produce()

        @invariant()
        def readers_see_a_whole_state(self):
            if self.shown is not None:
                np.testing.assert_array_equal(self.read(), self.shown)

        def teardown(self):
            if self.shown is None:
                return
            self.produce()
            assert rewritten_objects(str(self.made.root / "v1.0.0")) == []
            assert self.made.wanted().complete
            once = self.folder / "once"
            once.mkdir()
            root = Prepared(once, client, f"{self.last}", **PERIOD, **provisional(3, once / "sources"))
            self.write(root)
            root.produce()
            assert without_manifest(published(self.made.root)) == without_manifest(published(root.root))

    return Histories


def without_manifest(objects):
    return {key: digest for key, digest in objects.items() if key != "manifest.json"}


def test_every_history_ends_as_one_run(tmp_path, client):
    # A step is a run of seconds: a history that fails is reported as it was drawn, since making it shorter takes hours.
    checks = settings(
        max_examples=3, stateful_step_count=5, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(histories(tmp_path, client), settings=checks)
