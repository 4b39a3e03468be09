"""Source files on S3 and in memory: equal values, replaced and unreadable files refused."""

from contextlib import contextmanager

import fsspec
import numpy as np
import pytest
import s3fs

from somo.forcing.dataset import open_forcing
from somo.forcing.references.chunks import open_references
from somo.forcing.sources import ForcingError
from somo.storage import byte_ranges as ranges
from somo.storage.patience import StorageError


def _upload(sources, url, *years):
    fs, path = fsspec.url_to_fs(url)
    fs.mkdirs(path, exist_ok=True)
    for year in years:
        fs.put_file(str(sources.path(year)), f"{path}/t2m_{year}.nc")


def _product(sources, url, **changes):
    return sources.product(source={"url": f"{url}/t2m_{{year}}.nc"}, **changes)


@pytest.mark.parametrize("where", ["memory", pytest.param("s3", marks=pytest.mark.s3)])
def test_remote_files_read_as_local_ones(sources, references, request, where):
    url = "memory://forcing" if where == "memory" else request.getfixturevalue("s3_root")
    sources.write(2003, {"dtype": "float32", "zlib": True, "chunksizes": (61, 4, 5)})
    sources.write(2004, {"dtype": "float32", "chunksizes": (30, 4, 5)})
    _upload(sources, url, 2003, 2004)
    product = _product(sources, url)
    ds = open_forcing(product, "home", references(product, f"{url}/root"))
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003, 2004))


@pytest.mark.parametrize("where", ["memory", pytest.param("s3", marks=pytest.mark.s3)])
def test_an_object_replaced_by_one_of_equal_size_is_an_error_on_read(sources, references, request, where):
    url = "memory://replaced" if where == "memory" else request.getfixturevalue("s3_root")
    sources.write(2003)
    _upload(sources, url, 2003)
    product = _product(sources, url, end="2003-12-31")
    ds = open_forcing(product, "home", references(product, f"{url}/root"))
    ds["air_temperature"][:3].compute()
    data = bytearray(sources.path(2003).read_bytes())
    data[-1] ^= 1
    sources.path(2003).write_bytes(data)
    _upload(sources, url, 2003)
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: was replaced after it was referenced"):
        ds["air_temperature"][3:].compute()


@contextmanager
def _identity(environment):
    """The process with other credentials, and no client that remembers the old ones."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        _forget()
        yield
    _forget()


def _forget():
    s3fs.S3FileSystem.clear_instance_cache()
    ranges.opened.cache_clear()
    ranges._bucket.cache_clear()


@pytest.mark.s3
def test_an_object_that_may_not_be_read_is_refused_by_name(sources, references, s3):
    sources.write(2003)
    client = s3.client()
    client.create_bucket(Bucket="closed")
    client.put_object(Bucket="closed", Key="t2m_2003.nc", Body=sources.path(2003).read_bytes())
    with _identity(s3.environment("reader")), pytest.raises(ForcingError, match=r"s3://closed.*(read|listed)"):
        references(_product(sources, "s3://closed", end="2003-12-31"), "memory://closed-root")


@pytest.mark.s3
def test_rights_lost_after_the_scan_are_an_error_that_names_the_object(sources, references, s3, s3_root):
    sources.write(2003)
    _upload(sources, s3_root, 2003)
    product = _product(sources, s3_root, end="2003-12-31")
    urls = references(product, f"{s3_root}/root")
    ds = open_forcing(product, "home", urls)
    ds["air_temperature"][:1].compute()
    with _identity({**s3.environment(), "AWS_SECRET_ACCESS_KEY": "wrong"}):
        with pytest.raises(StorageError, match=r"s3://.* may not be looked at"):
            ds["air_temperature"][3:].compute()
        with pytest.raises(ForcingError, match=r"t2m_2003\.nc: cannot be read"):
            open_references(urls["air_temperature"]).read(0, (slice(5, 6), slice(None), slice(None)))


@pytest.mark.s3
def test_blocks_of_an_object_are_its_bytes(s3, s3_root):
    data = np.random.default_rng(0).bytes(3 * ranges.BLOCK_BYTES + 17)
    fs, path = fsspec.url_to_fs(f"{s3_root}/blob")
    fs.pipe_file(path, data)
    with ranges.open_blocks(f"{s3_root}/blob") as file:
        for at, n in ((0, 10), (ranges.BLOCK_BYTES - 5, 10), (len(data) - 7, 100), (5, 2 * ranges.BLOCK_BYTES)):
            file.seek(at)
            assert file.read(n) == data[at : at + n]
        assert file.seek(-3, 2) == len(data) - 3
