"""What a stranger can do with the bucket: read what is published, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import xarray as xr
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session

import somo
from flows.cluster.certificates import write_certificates
from flows.service.access import open_bucket, policy, split
from flows.service.s3server import S3Server
from somo.publish.catalog import catalog_document
from somo.publish.manifest import describe, encode, list_objects, pointer, write_manifest
from somo.publish.verifying import verify
from somo.storage.objects import join, put
from somo.storage.patience import StorageError
from tests.publish import made
from tests.publish.tls_proxy import tls_proxy

ROOM = Path(__file__).parents[2]
pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def root(s3):
    """A small released version, and private objects beside it."""
    root = f"s3://{s3.bucket}/{uuid4().hex[:8]}"
    declared = made.product()
    version_url = made.write_store(declared, root)
    digest = write_manifest(version_url, describe(version_url, list_objects(version_url)))
    catalog = encode(catalog_document(declared, ["1.0.0"]))
    put(join(root, "catalog.json"), catalog)
    put(join(root, "latest.json"), pointer("1.0.0", {"v1.0.0": digest}, {"1.0.0": "2026-11-22"}, catalog))
    put(join(root, "viewer/index.html"), b"<p>page</p>")
    put(join(root, "index.html"), b"<p>front door</p>")
    for private in ("models/ab/ensemble.json", "targets/ab.parquet", "references/t/ab.parquet", "vault.txt"):
        put(join(root, private), b"private")
    open_bucket(root)
    return root


def anonymous(endpoint):
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"max_attempts": 1})
    return get_session().create_client("s3", "us-east-1", endpoint_url=endpoint, config=config)


@pytest.fixture(scope="module")
def stranger(s3):
    return anonymous(s3.endpoint)


def refused(call, **arguments):
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    "key",
    [
        "index.html",
        "latest.json",
        "catalog.json",
        "viewer/index.html",
        "v1.0.0/manifest.json",
        "v1.0.0/soil_moisture.zarr/zarr.json",
    ],
)
def test_what_is_published_can_be_read(root, stranger, key):
    bucket, prefix = split(root)
    assert stranger.get_object(Bucket=bucket, Key=prefix + key)["Body"].read()


@pytest.mark.parametrize(
    "key", ["models/ab/ensemble.json", "targets/ab.parquet", "references/t/ab.parquet", "vault.txt"]
)
def test_what_is_not_published_is_refused(root, stranger, key):
    bucket, prefix = split(root)
    assert refused(stranger.get_object, Bucket=bucket, Key=prefix + key)
    assert refused(stranger.head_object, Bucket=bucket, Key=prefix + key)


@pytest.mark.parametrize("inside", ["models/", "targets/", "", "v", "va", "references/t"])
def test_listing_what_is_not_published_is_refused(root, stranger, inside):
    bucket, prefix = split(root)
    assert refused(stranger.list_objects_v2, Bucket=bucket, Prefix=prefix + inside)
    assert refused(stranger.list_objects_v2, Bucket=bucket)


def test_the_bucket_itself_is_not_told(root, stranger):
    """Beside it stands a bucket that the server was started to show to anyone; only that one is listed."""
    assert [b["Name"] for b in stranger.list_buckets()["Buckets"]] == ["public"]


def test_the_policy_alone_opens_a_server_that_knows_no_strangers(tmp_path):
    with S3Server(tmp_path) as server:
        owner, stranger = server.client(), anonymous(server.endpoint)
        owner.put_bucket_policy(Bucket=server.bucket, Policy=json.dumps(policy(server.bucket, "made/")))
        for key in ("made/latest.json", "made/targets/a.parquet"):
            owner.put_object(Bucket=server.bucket, Key=key, Body=b"{}")
        assert stranger.get_object(Bucket=server.bucket, Key="made/latest.json")["Body"].read() == b"{}"
        assert refused(stranger.get_object, Bucket=server.bucket, Key="made/targets/a.parquet")
        assert refused(stranger.list_buckets)


def test_a_version_can_be_listed(root, stranger):
    bucket, prefix = split(root)
    found = stranger.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}v1.0.0/", Delimiter="/")
    assert [p["Prefix"] for p in found["CommonPrefixes"]] == [f"{prefix}v1.0.0/soil_moisture.zarr/"]


@pytest.mark.parametrize("key", ["v1.0.0/new.nc", "latest.json", "models/new", "new.txt"])
def test_writing_and_deleting_is_refused(root, stranger, key):
    bucket, prefix = split(root)
    where = {"Bucket": bucket, "Key": prefix + key}
    assert refused(stranger.put_object, Body=b"x", **where)
    assert refused(stranger.delete_object, **where)
    assert refused(stranger.create_multipart_upload, **where)
    assert refused(stranger.put_bucket_policy, Bucket=bucket, Policy=json.dumps(policy(bucket, prefix)))


def test_a_page_of_another_origin_may_read(root, stranger, s3):
    bucket, prefix = split(root)
    seen = stranger.meta.events

    def ask(request, **_):
        request.headers["Origin"] = "https://elsewhere.example"

    seen.register("before-send.s3.GetObject", ask)
    try:
        headers = stranger.get_object(Bucket=bucket, Key=f"{prefix}latest.json")["ResponseMetadata"]["HTTPHeaders"]
    finally:
        seen.unregister("before-send.s3.GetObject", ask)
    assert headers["access-control-allow-origin"] in ("*", "https://elsewhere.example")


@pytest.mark.parametrize("chunks", [None, {}], ids=["plain", "dask"])
@pytest.mark.parametrize("kind", ["s3", "http", "somo"])
def test_zarr_opens_anonymously(root, s3, kind, chunks):
    expected = made.values(made.product(), 388)[0][1, 59, 4, 5]
    path = f"{root}/v1.0.0/soil_moisture.zarr"
    if kind == "somo":
        ds = somo.open(root)
        ds = ds if chunks is None else ds.chunk(chunks)
    elif kind == "http":
        ds = xr.open_zarr(path.replace("s3://", f"{s3.endpoint}/"), consolidated=True, chunks=chunks)
    else:
        options = {"anon": True, "endpoint_url": s3.endpoint}
        ds = xr.open_zarr(path, consolidated=True, chunks=chunks, storage_options=options)
    value = ds["soil_moisture"].isel(depth=1, time=59, lat=4, lon=5)
    assert abs(float(value) - expected) <= 5e-5
    assert ds["soil_moisture"].isel(depth=0, time=0).isnull().sum() == 4


READ = """
import sys, xarray as xr, somo
url, how = sys.argv[1:]
if how == "somo":
    ds = somo.open(url)
else:
    ds = xr.open_zarr(f"{url}/v1.0.0/soil_moisture.zarr", consolidated=True, chunks=None if how == "plain" else {})
print(float(ds["soil_moisture"].isel(depth=1, time=59, lat=4, lon=5)))
"""


@pytest.fixture(scope="module")
def secure(root, s3, tmp_path_factory):
    """The same bucket behind HTTPS: its URL, and the authority that a reader has to trust."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificates(folder)
    with tls_proxy(("127.0.0.1", s3.port), folder / "node.pem", folder / "node.key") as port:
        yield f"https://localhost:{port}/{root.removeprefix('s3://')}", folder / "ca.pem"


def read_apart(url, how, patience_s=90, **environment):
    """Read one value in a process of its own, which knows no credentials."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SSL_"))}
    patience = f"from somo.storage import patience; patience.PATIENCE_S = {patience_s}\n"
    command = [sys.executable, "-W", "ignore", "-c", patience + READ, url, how]
    return subprocess.run(
        command, env={**clean, **environment}, cwd=ROOM, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("how", ["somo", "plain", "dask"])
def test_zarr_opens_over_https(secure, how):
    url, authority = secure
    done = read_apart(url, how, SSL_CERT_FILE=str(authority))
    assert done.returncode == 0, done.stderr
    assert abs(float(done.stdout) - made.values(made.product(), 388)[0][1, 59, 4, 5]) <= 5e-5


def test_https_of_an_unknown_authority_is_refused(secure):
    done = read_apart(secure[0], "somo", patience_s=1)
    assert done.returncode != 0
    assert "latest.json: cannot be reached" in done.stderr.splitlines()[-1]
    assert "certificate unknownissuer" in done.stderr.splitlines()[-1]


def test_anonymous_verification_holds(root):
    *_, (done, total, damage) = verify(root)
    assert done == total > 10
    assert damage == []


def test_products_that_share_a_bucket_keep_their_statements():
    names = {
        statement["Sid"]
        for prefix in ("", "eu/v1/", "eu-v1/", "EU/v1/")
        for statement in policy("b", prefix)["Statement"]
    }
    assert len(names) == 8 and all(name.isalnum() for name in names)


def test_only_buckets_have_access():
    with pytest.raises(StorageError, match="S3 buckets only"):
        open_bucket("/data/bucket")
