"""The address at which readers find a product: its root, and the version below it."""

import re

# A version's folder, as people copy it from a listing or a browser; a store in it may be named along.
_VERSION_FOLDER = re.compile(r"(?P<root>.+?)/v(?P<version>\d+\.\d+\.\d+)(/soil_moisture(_series)?\.zarr)?/*")


def root_and_version(url: str, version: str = "latest") -> tuple[str, str]:
    """Root and version of an address that may end in the folder of one version.

    Parameters
    ----------
    url : `s3://bucket/prefix`, or `s3://bucket/prefix/v1.0.0`
    version : as asked for; "latest" takes the one that the address names

    Raises
    ------
    ValueError
        if the address names another version than the one that is asked for
    """
    match = _VERSION_FOLDER.fullmatch(url)
    if match is None:
        return url, version
    in_address, asked = match["version"], version.removeprefix("v")
    if asked not in ("latest", in_address):
        raise ValueError(f"{url} is version {in_address}, and version {asked} is asked for; give one of them")
    return match["root"], in_address
