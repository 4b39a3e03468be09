"""The wheel in bare environments: `somo --help` and `somo.open` of a published product, with every Python given.

Usage: `python .ci/wheel.py BUCKET [PYTHON ...]`; BUCKET is a released product, as `demo/bucket` after `make demo`. What
is installed beside the wheel is that of the lock. Without a PYTHON, every 3.11, 3.12 and 3.13 that uv finds is tried.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOM = Path(__file__).parents[1]
SUPPORTED = ("3.11", "3.12", "3.13")
UNWANTED = re.compile(r"(?:^|/)(?:tests|infra|docker|node_modules)/")
READS = """
import sys
import somo
product = somo.open(sys.argv[1])
mean = float(product.soil_moisture.isel(time=-1, depth=0).mean())
assert 0 < mean < 1, mean
print(f"{sys.version.split()[0]}: {dict(product.sizes)}, mean of the last day {mean:.3f} m3 m-3, from {somo.__file__}")
"""


def uv() -> str:
    """The program, on the path or beside this Python."""
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or str(beside)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Output of a command that has to end well, in an environment without a path to this repository."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, check=False, text=True, capture_output=True, cwd=cwd, env=environment)
    if ended.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {ended.stderr[-2000:]}")
    return ended.stdout


def built(folder: Path) -> Path:
    """The wheel, built from the source distribution, with neither tests nor infrastructure in either."""
    # Only what git knows: a folder of Node.js packages or of results beside it would be in the distribution as well.
    copy = folder / "sources"
    for name in run("git", "ls-files", "-z", cwd=ROOM).split("\0"):
        if name and (ROOM / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOM / name, copy / name)
    page = ROOM / "somo/publish/viewer/dist"
    if page.is_dir():
        shutil.copytree(page, copy / "somo/publish/viewer/dist")
    run(uv(), "build", "--quiet", "--out-dir", folder, copy)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    names += [name.partition("/")[2] for name in run("tar", "-tzf", source).split()]
    if unwanted := [name for name in names if UNWANTED.search(name)]:
        raise SystemExit(f"{wheel.name} and {source.name} hold {len(unwanted)} unwanted files, as {unwanted[0]}")
    return wheel


def pythons(given: Sequence[str]) -> list[str]:
    """The interpreters to try."""
    if given:
        return list(given)
    listed = run(uv(), "python", "list", "--only-installed").splitlines()
    paths = {line.split()[0].split("-")[1].rsplit(".", 1)[0]: line.split()[1] for line in reversed(listed)}
    return [paths[version] for version in SUPPORTED if version in paths]


def tried(wheel: Path, python: str, bucket: Path, folder: Path) -> str:
    """What a bare environment with the wheel says of a published product."""
    place = folder / "environment"
    environment = {**os.environ, "PYTHON": python, "TORCH": "cpu"}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        environment.pop(name, None)
    made = subprocess.run(
        ["sh", "tools/environment.sh", place, "requirements.lock"], cwd=ROOM, env=environment, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"{python}: {made.stderr[-2000:]}")
    run(uv(), "pip", "uninstall", "--quiet", "--python", place / "bin/python", "somo")
    # Whatever the wheel asks for is in the lock, which the check after it confirms.
    run(uv(), "pip", "install", "--quiet", "--no-deps", "--python", place / "bin/python", wheel)
    run(uv(), "pip", "check", "--quiet", "--python", place / "bin/python")
    helped = run(place / "bin/somo", "--help", cwd=folder)
    if "soil moisture" not in helped:
        raise SystemExit(f"{python}: somo --help says {helped!r}")
    return run(place / "bin/python", "-c", READS, bucket.resolve(), cwd=folder).strip()


def main(bucket: str, *given: str) -> None:
    """Build the wheel once and try it with every Python."""
    with tempfile.TemporaryDirectory(prefix="somo-wheel-") as name:
        folder = Path(name)
        wheel = built(folder)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB")
        for python in pythons(given):
            print(tried(wheel, python, Path(bucket), folder), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
