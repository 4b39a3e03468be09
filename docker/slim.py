"""Take debuggers' symbols out of the libraries in a folder: `python3 slim.py FOLDER`. They are a quarter of the image.

`strip` moves the parts of some libraries that a wheel's maker has edited to where the loader refuses them. Such a
library is left as it was.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

SMALLEST_BYTES = 500_000
PAGE = 4096
LOAD = 1


def is_loadable(path: Path) -> bool:
    """Whether every part of an ELF library that is loaded lies as far into a page in the file as in memory."""
    data = path.read_bytes()
    offset, size, number = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    for k in range(number):
        kind, _, in_file, in_memory = struct.unpack_from("<IIQQ", data, offset + k * size)
        if kind == LOAD and (in_file - in_memory) % PAGE:
            return False
    return True


def main(folder: Path) -> None:
    saved = 0
    with tempfile.TemporaryDirectory() as scratch:
        stripped = Path(scratch) / "library"
        for path in sorted(folder.rglob("*.so*")):
            if path.is_symlink() or path.stat().st_size < SMALLEST_BYTES or path.read_bytes()[:5] != b"\x7fELF\x02":
                continue
            shutil.copy2(path, stripped)
            done = subprocess.run(["strip", "--strip-unneeded", str(stripped)], check=False, capture_output=True)
            if done.returncode == 0 and is_loadable(stripped):
                saved += path.stat().st_size - stripped.stat().st_size
                shutil.copy2(stripped, path)
    print(f"{saved / 1e6:.0f} MB of symbols taken out of {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
