"""The web page beside the data: built from the sources here into `dist`, published as it is."""

from importlib.resources import as_file, files

from somo.publish.front_door import PREVIEW
from somo.publish.manifest import describe, write_manifest
from somo.storage.lease import put_changed
from somo.storage.objects import join

FOLDER = "viewer"
LEFT_OUT = (
    "the web page was left out: it is not built here. Install Node.js 20 or newer and run `make viewer`, "
    "or install somo from its wheel, which carries the page"
)


def is_built() -> bool:
    """Whether this installation carries the built page."""
    return (files("somo.publish.viewer") / "dist" / "index.html").is_file()


def publish_viewer(root: str, address: str = "") -> dict[str, str]:
    """Put the page below a root, `index.html` last; returns its folder with the checksum of its manifest.

    Where the page is not built, nothing is written, a page published before stays, and nothing is returned.

    Parameters
    ----------
    address : https address at which readers find the root, for the picture that shared links show
    """
    if not is_built():
        return {}
    url = join(root, FOLDER)
    with as_file(files("somo.publish.viewer") / "dist") as page:
        keys = sorted((p.relative_to(page).as_posix() for p in page.rglob("*") if p.is_file()), key=_index_last)
        for key in keys:
            data = (page / key).read_bytes()
            put_changed(join(url, key), with_address(data, address) if key == "index.html" else data)
    return {FOLDER: write_manifest(url, describe(url, keys))}


def _index_last(key: str) -> tuple[bool, str]:
    # The page names the other files, so a reader who finds it finds them too.
    return key == "index.html", key


def with_address(page: bytes, address: str) -> bytes:
    """A page whose preview picture is named by its whole address: services that show links resolve no relative one."""
    if not address:
        return page
    return page.replace(b'content="../preview.png"', f'content="{join(address, PREVIEW)}"'.encode())
