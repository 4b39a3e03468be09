"""The address of a version is as good as that of its product."""

import pytest

from somo.core.addresses import root_and_version


@pytest.mark.parametrize(
    ("url", "asked", "root", "version"),
    [
        ("s3://bucket/prefix", "latest", "s3://bucket/prefix", "latest"),
        ("s3://bucket/prefix/", "v1.0.0", "s3://bucket/prefix/", "v1.0.0"),
        ("s3://bucket/prefix/v1.0.0", "latest", "s3://bucket/prefix", "1.0.0"),
        ("demo/bucket/v1.2.10/", "1.2.10", "demo/bucket", "1.2.10"),
        ("https://host/somo/v1.0.0/soil_moisture.zarr", "latest", "https://host/somo", "1.0.0"),
        # A folder of people's own that only looks like a version.
        ("/data/v1.0", "latest", "/data/v1.0", "latest"),
    ],
)
def test_an_address_may_end_in_a_version(url: str, asked: str, root: str, version: str) -> None:
    assert root_and_version(url, asked) == (root, version)


def test_two_versions_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match=r"/v1\.0\.0 is version 1\.0\.0, and version 1\.0\.1 is asked for"):
        root_and_version("s3://bucket/v1.0.0", "v1.0.1")
