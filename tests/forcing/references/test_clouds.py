"""Google's storage by its XML interface, which is that of S3: a real server answers it for the anonymous bucket."""

import json

import fsspec
import numpy as np
import pytest

from somo.forcing.dataset import open_forcing
from somo.forcing.sources import ForcingError
from somo.storage.byte_ranges import opened


@pytest.fixture
def google(s3, monkeypatch):
    """The public bucket of the S3 server as a bucket of Google's."""
    nobody = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    account = {"gcs_base_url": s3.endpoint, "disable_oauth": True, **nobody}
    settings = {"service_account_key": json.dumps(account), "skip_signature": True}
    monkeypatch.setitem(fsspec.config.conf, "gs", {"config": settings, "client_options": {"allow_http": True}})
    opened.cache_clear()
    yield "gs://public"
    opened.cache_clear()


@pytest.mark.s3
def test_files_in_googles_storage_read_as_local_ones(sources, references, root, s3, google):
    sources.write(2003, {"dtype": "float32", "zlib": True, "chunksizes": (61, 4, 5)})
    s3.client().put_object(Bucket="public", Key="era5/t2m_2003.nc", Body=sources.path(2003).read_bytes())
    product = sources.product(end="2003-12-31", source={"url": f"{google}/era5/t2m_{{year}}.nc"})
    ds = open_forcing(product, "home", references(product, root))
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003))
    sources.write(2003, {"dtype": "float32", "zlib": True, "complevel": 9, "chunksizes": (61, 4, 5)})
    s3.client().put_object(Bucket="public", Key="era5/t2m_2003.nc", Body=sources.path(2003).read_bytes())
    with pytest.raises(ForcingError, match=r"gs://public/era5/t2m_2003\.nc: was replaced after it was referenced"):
        ds["air_temperature"].compute()


@pytest.mark.s3
def test_keys_with_empty_parts(sources, references, root, s3, s3_root):
    sources.write(2003)
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
    s3.client().put_object(Bucket=bucket, Key=f"{prefix}/a//t2m_2003.nc", Body=sources.path(2003).read_bytes())
    product = sources.product(end="2003-12-31", source={"url": f"{s3_root}/a//t2m_{{year}}.nc"})
    got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, sources.plain(2003))
