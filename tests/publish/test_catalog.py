import json
from pathlib import Path

import pandas as pd
import pystac
import pytest
import xarray as xr
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from somo.publish import catalog, documents, lineage, manifest, netcdf
from somo.storage.objects import join, put
from tests.publish import extensions, made


@pytest.fixture(scope="module")
def declared():
    return made.product()


@pytest.fixture(scope="module")
def root(declared, tmp_path_factory):
    root = tmp_path_factory.mktemp("bucket")
    version_url = made.write_store(declared, str(root))
    for layer in declared.layers:
        netcdf.publish_year(version_url, declared, layer, 2016)
    entries = manifest.describe(version_url, manifest.list_objects(version_url))
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        found = catalog.version_documents(declared, store, entries)
    for name, document in found.items():
        put(join(version_url, name), manifest.encode(document))
    put(join(str(root), "catalog.json"), manifest.encode(catalog.catalog_document(declared, ["1.0.0"])))
    return root


def validate(path):
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(extensions.SCHEMAS)
    return pystac.validation.validate_dict(json.loads(path.read_text()), validator=validator)


@pytest.mark.parametrize("name", ["catalog.json", "v1.0.0/collection.json", "v1.0.0/items/2016.json"])
def test_every_document_validates_without_network(root, name):
    assert validate(root / name)


def test_a_reader_walks_from_the_catalog_to_a_file(root):
    walked = pystac.Catalog.from_file(str(root / "catalog.json"))
    collection = next(iter(walked.get_children()))
    item = next(collection.get_items())
    asset = item.assets["layer1"]
    path = Path(asset.get_absolute_href())
    assert path.name == "Made_layer1_2016.nc"
    assert asset.extra_fields["file:size"] == path.stat().st_size
    assert asset.extra_fields["file:checksum"].startswith("1220")
    assert Path(collection.assets["zarr"].get_absolute_href(), "zarr.json").exists()
    assert collection.extra_fields["cube:dimensions"]["lat"]["extent"] == [45.05, 45.55]
    assert str(collection.extent.temporal.intervals[0][1].date()) == "2017-01-11"
    assert item.get_root().id == walked.id


def test_no_document_holds_an_absolute_address(root):
    for path in [root / "catalog.json", *(root / "v1.0.0").glob("*.json"), *(root / "v1.0.0").glob("items/*")]:
        hrefs = [link["href"] for link in json.loads(path.read_text())["links"]]
        assert all(href.startswith("./") or href.startswith("../") for href in hrefs), path


def test_newest_version_comes_first(declared):
    links = catalog.catalog_document(declared, ["1.2.0", "1.10.0"])["links"]
    assert [link["href"] for link in links if link["rel"] == "child"] == [
        "./v1.10.0/collection.json",
        "./v1.2.0/collection.json",
    ]


def test_papers_say_who_what_and_when(declared):
    origin = lineage.lineage(declared, "/root", {"home": {"air": "/root/references/a/b.parquet"}}, {"targets": "/x/t"})
    assert origin["forcing"] == {"home": {"air": "references/a/b.parquet"}}
    assert origin["targets"] == "t"
    times = pd.date_range("2016-01-01", "2016-12-31")
    found = documents.documents(declared, made.grid_of(declared), times, origin, ["first version"])
    assert b'version: "1.0.0"' in found["CITATION.cff"]
    assert json.loads(found["datacite.json"])["dates"][0]["date"] == "2016-01-01/2016-12-31"
    assert b"- first version" in found["CHANGELOG.md"]


def test_lineage_hides_addresses_and_tells_what_changed(declared):
    secret = made.product(insitu=[{"name": "net", "url": "s3://private/key@host/net.zip"}])
    origin = lineage.lineage(secret, "", {}, {"targets": "t", "checkpoints": "m"})
    assert "private" not in json.dumps(origin)
    assert lineage.changes(None, origin) == ["first version"]
    later = lineage.lineage(made.product(training={"epochs": 9}), "", {}, {"targets": "u", "checkpoints": "m"})
    assert "targets: t became u" in lineage.changes(origin, later)
    assert "configuration: [training] changed" in lineage.changes(origin, later)
