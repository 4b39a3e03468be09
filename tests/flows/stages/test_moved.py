"""Forcing, static features and archives at another address: the same bytes make nothing anew but their references."""

import shutil

import pandas as pd
import pytest

from flows.results import record_archives, samples_url, targets_url
from flows.stages.ingest import ingest
from flows.stages.production.plan import prepare
from somo.storage.client import filesystem
from somo.storage.objects import put
from tests.flows.stages.test_produce import Prepared
from tests.predict import made

DAYS = pd.date_range("2020-01-12", "2020-01-31").strftime("%Y-%m-%d")
TABLE = "station,latitude,longitude,file,time,value,depth_from_m\nA,45.5,5.5,a.csv,time,sm,0.05\n"


def write_archive(sources, value):
    """A table of one station and its file, in a folder of sources."""
    put(f"{sources}/stations.csv", TABLE.encode())
    put(f"{sources}/a.csv", pd.DataFrame({"time": DAYS, "sm": value}).to_csv(index=False).encode())


def archive_at(sources):
    """The declaration of that table."""
    return {"insitu": [{"name": "net", "url": f"{sources}/stations.csv", "format": "table"}]}


def names(product, root, client):
    """What results are named by, and whether anything is to be produced, once the stages have looked at the sources."""
    inputs = ingest(product, str(root), client)
    record_archives(product, str(root), "training")
    targets = targets_url(product, str(root), inputs)
    wanted = prepare(product, str(root), inputs, f"{root}/models/abc")
    results = inputs["home"].static, targets, samples_url(product, str(root), inputs, targets)
    return results, (len(wanted.work), len(wanted.copies), wanted.complete), inputs["home"].references


@pytest.mark.s3
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_sources_that_moved_make_nothing_anew_but_their_references(tmp_path, client, place, request):
    prepared = Prepared(tmp_path, client, "2020-03-08", **archive_at(tmp_path / "sources"))
    write_archive(prepared.sources, 0.2)
    prepared.produce()
    results, plan, references = names(prepared.product, prepared.root, client)
    assert plan == (0, 0, True)
    if place == "folder":
        elsewhere = str(shutil.copytree(prepared.sources, tmp_path / "elsewhere", copy_function=shutil.copyfile))
    else:
        elsewhere = f"{request.getfixturevalue('s3_root')}/sources"
        filesystem(elsewhere)[0].put(f"{prepared.sources}/", elsewhere, recursive=True)
    moved = made.product(elsewhere, **archive_at(elsewhere))
    moved_results, moved_plan, moved_references = names(moved, prepared.root, client)
    assert moved_results == results
    assert moved_plan == (0, 0, True)
    assert set(moved_references.values()).isdisjoint(references.values())


def test_other_bytes_at_another_address_are_other_sources(tmp_path, client):
    prepared = Prepared(tmp_path, client, "2020-03-08", **archive_at(tmp_path / "sources"))
    write_archive(prepared.sources, 0.2)
    prepared.produce()
    results, _, _ = names(prepared.product, prepared.root, client)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = made.product(str(elsewhere), **archive_at(elsewhere))
    write_archive(elsewhere, 0.3)
    made.write_sources(moved, str(elsewhere), elsewhere, "2020-03-08", seed=1)
    inputs = ingest(moved, str(prepared.root), client)
    record_archives(moved, str(prepared.root), "training")
    targets = targets_url(moved, str(prepared.root), inputs)
    assert inputs["home"].static != results[0]
    assert targets != results[1]
