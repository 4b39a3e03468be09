import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import odc.stac
import pandas as pd
import pystac
import pystac_client
import pytest
import rasterio
import xarray as xr
from datacite import schema45
from lxml import etree
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from pystac_client.warnings import NoConformsTo

from flows.stages.publish import write_images
from somo.publish import catalog, documents, lineage, manifest, netcdf
from somo.storage.objects import join, put
from tests.publish import made, schemas


@pytest.fixture(scope="module")
def declared():
    return made.product()


@pytest.fixture(scope="module")
def root(declared, tmp_path_factory):
    root = tmp_path_factory.mktemp("bucket")
    version_url = made.write_store(declared, str(root))
    for layer in declared.layers:
        netcdf.publish_year(version_url, declared, layer, 2016)
    write_images(declared, version_url)
    entries = manifest.describe(version_url, manifest.list_objects(version_url))
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        found = catalog.version_documents(declared, store, entries)
    for name, document in found.items():
        put(join(version_url, name), manifest.encode(document))
    put(join(str(root), "catalog.json"), manifest.encode(catalog.catalog_document(declared, ["1.0.0"])))
    return root


def validate(path):
    validator = JsonSchemaSTACValidator()
    validator.schema_cache.update(schemas.extensions())
    return pystac.validation.validate_dict(json.loads(path.read_text()), validator=validator)


@pytest.mark.parametrize(
    "name", ["catalog.json", "v1.0.0/collection.json", "v1.0.0/items/2016.json", "v1.0.0/items/latest.json"]
)
def test_every_document_validates_without_network(root, name):
    assert validate(root / name)


def test_the_collection_of_a_version_with_drought_and_countries_validates(root, declared, tmp_path):
    """Their stores have axes of their own: seasons, countries, classes."""
    stores = {f"{name}.zarr/zarr.json": manifest.Entry(1, "0" * 64, "") for name in ("drought", "regions")}
    with xr.open_zarr(root / "v1.0.0/soil_moisture.zarr", chunks=None) as store:
        collection = catalog.version_documents(declared, store, stores)["collection.json"]
    path = tmp_path / "collection.json"
    path.write_bytes(manifest.encode(collection))
    assert validate(path)
    assert collection["cube:variables"]["climatology_mean"]["dimensions"][1] == "season"
    countries = collection["assets"]["regions"]
    assert countries["cube:variables"]["drought_area_share"]["dimensions"][-1] == "drought_class"


def test_a_grid_across_the_date_line_is_described_in_longitudes_that_catalogues_know(declared, tmp_path):
    """DataCite refuses longitudes beyond 180; STAC and GeoJSON write such a box with west greater than east."""
    fiji = {"kind": "regular", "west": 179.6, "east": 180.4, "south": -18.3, "north": -17.7, "step_deg": 0.1}
    product = made.product(grid=fiji)
    version_url = made.write_store(product, str(tmp_path), days=20)
    key = "netcdf/Made_layer1_2015.nc"
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        found = catalog.version_documents(product, store, {key: manifest.Entry(1, "0" * 64, "")})
    for name in ("collection.json", "items/2015.json"):
        path = tmp_path / Path(name).name
        path.write_bytes(manifest.encode(found[name]))
        assert validate(path)
    item = found["items/2015.json"]
    assert item["bbox"] == [179.6, -18.3, -179.6, -17.7] == found["collection.json"]["extent"]["spatial"]["bbox"][0]
    longitudes = [{lon for lon, _ in ring} for (ring,) in item["geometry"]["coordinates"]]
    assert longitudes == [{179.6, 180.0}, {-180.0, -179.6}]
    # The cells keep the longitudes that the store has.
    assert item["properties"]["proj:bbox"] == [179.6, -18.3, 180.4, -17.7]
    described = documents.datacite(product, made.grid_of(product), pd.date_range("2015-12-20", periods=20), 2026)
    official = etree.XMLSchema(etree.parse(schemas.DATACITE))
    official.assertValid(etree.fromstring(schema45.tostring({"doi": "10.1234/made", **described}).encode()))


def test_a_reader_walks_from_the_catalog_to_a_file(root):
    walked = pystac.Catalog.from_file(str(root / "catalog.json"))
    collection = next(iter(walked.get_children()))
    item = next(collection.get_items())
    asset = item.assets[collection.summaries.lists["bands"][0]["name"]]
    path = Path(asset.get_absolute_href())
    assert path.name == "Made_layer1_2016.nc"
    assert asset.extra_fields["file:size"] == path.stat().st_size
    assert asset.extra_fields["file:checksum"].startswith("1220")
    assert Path(collection.assets["zarr"].get_absolute_href(), "zarr.json").exists()
    assert collection.extra_fields["cube:dimensions"]["lat"]["extent"] == [45.05, 45.55]
    assert str(collection.extent.temporal.intervals[0][1].date()) == "2017-01-11"
    assert item.get_root().id == walked.id


@pytest.mark.filterwarnings("ignore::pystac_client.warnings.FallbackToPystac")
def test_pystac_client_finds_the_items_of_a_time(root):
    with pytest.warns(NoConformsTo):  # files are no server, so there is nothing to ask but the files
        collection = pystac_client.Client.open(str(root / "catalog.json")).get_child("Made-v1.0.0")
    assert [item.id for item in collection.get_items(recursive=True) if item.datetime is None] == ["2016", "latest"]
    assert collection.extra_fields["sci:citation"].startswith("SoMo developers (2026): Made")
    assert collection.assets["thumbnail"].roles == ["thumbnail"]
    assert collection.get_single_link("license").href.startswith("https://creativecommons.org")
    assert set(collection.extra_fields["cube:variables"]) >= {"soil_moisture", "soil_moisture_std", "applicability"}


@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")
def test_odc_stac_loads_the_latest_day(root):
    latest = pystac.Item.from_file(str(root / "v1.0.0/items/latest.json"))
    loaded = odc.stac.load([latest], bands=["layer2_soil_moisture"])
    with xr.open_zarr(root / "v1.0.0/soil_moisture.zarr", chunks=None) as store:
        expected = store["soil_moisture"].isel(depth=1, time=-1)
    assert loaded.odc.crs.epsg == 4326
    np.testing.assert_allclose(loaded["layer2_soil_moisture"].isel(time=0), expected, atol=1e-7)
    np.testing.assert_allclose(loaded["latitude"], expected["lat"])


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no GDAL; apt-get install gdal-bin")
def test_gdal_reads_the_latest_day_with_its_unit_and_place(root):
    path = root / "v1.0.0/geotiff/Made_layer1_soil_moisture_latest.tif"
    said = subprocess.run(["gdalinfo", "-json", path], check=True, capture_output=True, text=True)
    found = json.loads(said.stdout)
    assert found["metadata"]["IMAGE_STRUCTURE"]["LAYOUT"] == "COG"
    assert found["metadata"][""]["date"] == "2017-01-10"
    assert (found["bands"][0]["unit"], found["cornerCoordinates"]["upperLeft"]) == ("m3 m-3", [5.0, 45.6])
    with rasterio.open(path) as raster:
        assert np.isnan(raster.read(1)[:2, :2]).all()


def test_datacite_metadata_hold_against_the_official_schema(declared):
    authors = [{"family": "O", "given": "Sungmin", "orcid": "0000-0001-2345-678X", "affiliation": "Invented Soils"}]
    by_people = made.product(publication={"doi": "10.1234/made", "authors": authors})
    times = pd.date_range("2016-01-01", "2016-12-31")
    official = etree.XMLSchema(etree.parse(schemas.DATACITE))
    for product in (declared, by_people):
        described = documents.datacite(product, made.grid_of(product), times, 2026)
        assert (described["publicationYear"], described["relatedIdentifiers"][0]["relationType"]) == (
            "2026",
            "IsDescribedBy",
        )
        # A DOI is given when the data are registered; the schema wants one.
        registered = {"doi": "10.1234/made", **described}
        official.assertValid(etree.fromstring(schema45.tostring(registered).encode()))
    assert "https://doi.org/10.1234/made" in documents.readme(by_people, made.grid_of(by_people), times, 2026)
    cited = documents.citation(by_people)
    assert "orcid: https://orcid.org/0000-0001-2345-678X" in cited
    assert '      - name: "O, Orth, Weber, Park"\n    doi: "10.1038/s41597-022-01785-6"' in cited
    assert "see title" not in cited
    # Papers of their own have no DOI of ours.
    by_others = made.product(publication={"references": "Curie (2024), Journal of Soils 1:1"})
    assert "doi:" not in documents.citation(by_others) and by_others.publication.papers == ()


def test_the_readme_names_a_yearly_file_that_a_growing_version_has():
    growing = made.product(start="2016-01-01", end=None)
    times = pd.date_range("2016-01-01", "2017-01-10")
    assert "`Made_layer1_2016.nc`" in documents.readme(growing, made.grid_of(growing), times, 2026)


def test_a_version_without_a_date_is_cited_by_the_year_of_its_release(root):
    undated = made.product(publication={"creator_url": "https://somo.example.org", "creator_email": "a@example.org"})
    with xr.open_zarr(root / "v1.0.0/soil_moisture.zarr", chunks=None) as store:
        entries = manifest.describe(str(root / "v1.0.0"), manifest.list_objects(str(root / "v1.0.0")))
        described = catalog.version_documents(undated, store, entries, 2027)
    assert len(described) > 1
    for name, document in described.items():
        fields = document if name == "collection.json" else document["properties"]
        assert "(2027): Made" in fields["sci:citation"], name


def test_no_document_holds_an_absolute_address(root):
    for path in [root / "catalog.json", *(root / "v1.0.0").glob("*.json"), *(root / "v1.0.0").glob("items/*")]:
        hrefs = [link["href"] for link in json.loads(path.read_text())["links"]]
        assert all(href.startswith(("./", "../")) for href in hrefs if "creativecommons" not in href), path


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
    assert origin["uncertainty"] == []
    times = pd.date_range("2016-01-01", "2016-12-31")
    found = documents.documents(declared, made.grid_of(declared), times, origin, ["first version"], 2026)
    assert b'version: "1.0.0"' in found["CITATION.cff"]
    assert json.loads(found["datacite.json"])["dates"][0]["date"] == "2016-01-01/2016-12-31"
    assert b"- first version" in found["CHANGELOG.md"]


def test_lineage_hides_addresses_and_tells_what_changed(declared):
    secret = made.product(insitu=[{"name": "net", "url": "s3://private/key@host/net.zip"}])
    origin = lineage.lineage(secret, "", {}, {"targets": "t", "checkpoints": "m"})
    assert "private" not in json.dumps(origin)
    signed = made.product(insitu=[{"name": "net", "url": "https://host/net.zip?X-Amz-Signature=private/key"}])
    assert lineage.declaration(signed)["insitu"][0]["url"] == "net.zip"
    wild = made.product(forcing={"air_temperature": {**made.PLAIN, "url": ["s3://a/t_200?.nc", "s3://b/t_201?.nc"]}})
    assert lineage.declaration(wild)["forcing"]["air_temperature"]["source"]["url"] == ["t_200?.nc", "t_201?.nc"]
    assert lineage.lineage(secret, "", {}, {}, [{"layer": "layer1", "factor": 1.1}])["uncertainty"][0]["factor"] == 1.1
    assert lineage.changes(None, origin) == ["first version"]
    later = lineage.lineage(made.product(training={"epochs": 9}), "", {}, {"targets": "u", "checkpoints": "m"})
    assert "targets: t became u" in lineage.changes(origin, later)
    assert "configuration: [training] changed" in lineage.changes(origin, later)
