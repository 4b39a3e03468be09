"""Updates that go on from states while workers are killed, and on clusters of other sizes: the bytes of one run."""

import datetime as dt
from functools import partial

import pytest
from distributed import Client, LocalCluster

from flows.stages import produce as stage
from tests.faults.disturbed_region import slow_region
from tests.flows.stages.production.test_continuing import LAST, Updated, published
from tests.flows.stages.test_produce_faults import kill_inside_regions

pytestmark = [
    pytest.mark.fault,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def processes(workers):
    """A cluster of processes of one thread each, which come back when they are killed."""
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0)


def test_workers_killed_in_updates_leave_the_bytes_of_one_run(tmp_path, client, monkeypatch):
    """In each of two updates a worker dies inside of a region; a third update runs on one worker instead of two."""
    grown = Updated(tmp_path / "grown", client, monkeypatch)
    grown.produce()
    with processes(2) as cluster, Client(cluster, set_as_default=False) as two:
        for day in (1, 2):
            grown.until(f"{LAST + dt.timedelta(day)}")
            grown.client = two
            marks = tmp_path / f"marks{day}"
            marks.mkdir()
            with monkeypatch.context() as patch:
                patch.setattr(stage, "produce_region", partial(slow_region, marks=str(marks)))
                killer = kill_inside_regions(marks, 1)
                grown.produce()
                killer.join(30)
                assert not killer.is_alive()
            assert grown.cost.rejected == 0
            grown.client = client
    with processes(1) as cluster, Client(cluster, set_as_default=False) as one:
        grown.until(f"{LAST + dt.timedelta(3)}")
        grown.client = one
        grown.produce()
        assert (grown.cost.continued, grown.cost.begun) == (5, 0)
    once = Updated(tmp_path / "once", client, monkeypatch, LAST + dt.timedelta(3))
    once.produce()
    assert published(grown.root) == published(once.root)
