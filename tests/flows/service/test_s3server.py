import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import fsspec
import pytest

from flows.leftovers import MARK, marked
from flows.service import access
from flows.service.s3server import PARTS, S3Server
from somo.storage.objects import exists, put, read_bytes
from somo.storage.patience import StorageError
from tests.flows.stranger import doors, tried

pytestmark = pytest.mark.s3


def test_written_bytes_are_read_back(s3_root: str) -> None:
    put(f"{s3_root}/a/b.txt", b"soil")
    assert read_bytes(f"{s3_root}/a/b.txt") == b"soil"
    assert not exists(f"{s3_root}/a/c.txt")


def test_anonymous_reads_the_public_bucket_alone(s3: S3Server) -> None:
    put("s3://public/seen.txt", b"seen")
    put("s3://somo/hidden.txt", b"hidden")
    anonymous = fsspec.filesystem("s3", anon=True, endpoint_url=s3.endpoint, skip_instance_cache=True)
    assert anonymous.cat_file("public/seen.txt") == b"seen"
    with pytest.raises(PermissionError):
        anonymous.cat_file("somo/hidden.txt")
    with pytest.raises(PermissionError):
        anonymous.pipe_file("public/written.txt", b"no")


def test_reader_cannot_write(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    key = s3.environment("reader")
    reader = fsspec.filesystem(
        "s3", key=key["AWS_ACCESS_KEY_ID"], secret=key["AWS_SECRET_ACCESS_KEY"], endpoint_url=s3.endpoint
    )
    with pytest.raises(PermissionError):
        reader.pipe_file("somo/new.txt", b"no")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(StorageError, match="cannot be written"):
        put("s3://somo/new.txt", b"no")
    fsspec.filesystem("s3").clear_instance_cache()


def test_a_restarted_server_keeps_objects_and_keys(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(tmp_path) as server:
        server.client().put_object(Bucket="somo", Key="kept", Body=b"kept")
        before = server.environment()["AWS_SECRET_ACCESS_KEY"]
    # A run that is killed, as `somo demo --s3`, has a watcher that ends what bears its mark.
    monkeypatch.setenv(MARK, "of this run")
    with S3Server(tmp_path) as server:
        assert server.process.pid in {process.pid for process in marked("of this run")}
        assert server.client().get_object(Bucket="somo", Key="kept")["Body"].read() == b"kept"
        assert server.environment()["AWS_SECRET_ACCESS_KEY"] == before


def test_only_s3_itself_answers_strangers(s3: S3Server) -> None:
    put("s3://somo/tiny/latest.json", b"{}")
    ports, sockets = doors([s3.process.pid])
    assert len(ports) == 2 * len(PARTS)
    assert {address for address, _ in ports} == {"127.0.0.1"}
    given = tried([port for _, port in ports], sockets)
    assert given.keys() == {str(s3.port)}
    assert {gift.split(":")[0] for gift in given[str(s3.port)]} == {"GET /", "GET /status"}
    assert read_bytes("s3://somo/tiny/latest.json") == b"{}"


def test_data_and_keys_are_the_owners_alone(s3: S3Server) -> None:
    for name in ("data", "s3.json", "node.key"):
        assert s3.folder.joinpath(name).stat().st_mode & 0o077 == 0, name


def test_a_presigned_url_opens_one_object_for_one_deed_and_a_while(s3: S3Server) -> None:
    put("s3://somo/lent.txt", b"lent")
    put("s3://somo/other.txt", b"other")
    client = s3.client("reader")
    url = client.generate_presigned_url("get_object", {"Bucket": "somo", "Key": "lent.txt"}, ExpiresIn=60)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"lent"
    past = client.generate_presigned_url("get_object", {"Bucket": "somo", "Key": "lent.txt"}, ExpiresIn=1)
    writing = client.generate_presigned_url("put_object", {"Bucket": "somo", "Key": "lent.txt"}, ExpiresIn=60)
    time.sleep(2)
    for method, asked in (
        ("GET", url.replace("lent.txt", "other.txt")),
        ("GET", re.sub(r"Expires=\d+", "Expires=9999999999", url)),
        ("DELETE", url),
        ("PUT", url),
        ("GET", past),
        ("PUT", writing),  # a reader signs what it may not do itself
    ):
        request = urllib.request.Request(asked, b"x" if method == "PUT" else None, method=method)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=10)
    assert read_bytes("s3://somo/lent.txt") == b"lent"


def test_pages_elsewhere_read_what_the_buckets_rules_allow_and_nothing_else(s3: S3Server) -> None:
    # A bucket of its own: other tests of this server publish into the common one, which gives it the same rules.
    s3.client().create_bucket(Bucket="inward")
    for bucket in ("public", "inward"):
        put(f"s3://{bucket}/seen.txt", b"seen")
    rule = json.loads((Path(access.__file__).parent / "bucket-cors.json").read_text())
    s3.client().put_bucket_cors(Bucket="public", CORSConfiguration=rule)
    answers = {}
    for bucket, method in (("public", "GET"), ("public", "DELETE"), ("inward", "GET")):
        request = urllib.request.Request(f"{s3.endpoint}/{bucket}/seen.txt", method="OPTIONS")
        request.add_header("Origin", "https://elsewhere.example")
        request.add_header("Access-Control-Request-Method", method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                answers[bucket, method] = answer.headers["Access-Control-Allow-Methods"]
        except urllib.error.HTTPError as error:
            answers[bucket, method] = error.code
    assert answers["public", "DELETE"] in (None, 403) and answers["inward", "GET"] in (None, 403)
    assert "GET" in answers["public", "GET"] and "DELETE" not in answers["public", "GET"]
