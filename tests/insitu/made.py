"""Small archives written by hand, as the ISMN lays them out."""

import zipfile
from pathlib import Path

HOURS = [f"2020/01/{d:02d} {h:02d}:00" for d in range(1, 4) for h in range(0, 24, 3)]


def stm_name(network: str, station: str, depth: tuple[float, float], instrument: str, days: str) -> str:
    name = f"{network}_{network}_{station}_sm_{depth[0]:.6f}_{depth[1]:.6f}_{instrument}_{days}.stm"
    return f"{network}/{station}/{name}"


def header_values(
    rows: list[tuple[str, float, str]], depth=(0.05, 0.05), place=(50.0, 10.0), network="NET", station="S1", tail=" M"
) -> str:
    head = f"{network} {network} {station} {place[0]:.5f} {place[1]:.5f} 123.0 {depth[0]:.4f} {depth[1]:.4f} Probe"
    return "\n".join([head, *(f"{t} {v:.4f} {flag}{tail}" for t, v, flag in rows)]) + "\n"


def ceop(
    rows: list[tuple[str, float, str]], depth=(0.05, 0.05), place=(50.0, 10.0), network="NET", station="S1"
) -> str:
    about = f"{network} {network} {station} {place[0]:.5f} {place[1]:.5f} 123.0 {depth[0]:.4f} {depth[1]:.4f}"
    return "".join(f"{t} {t} {about} {v:.4f} {flag} M\n" for t, v, flag in rows)


def write_zip(path: Path, files: dict[str, str]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


def write_folder(path: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return str(path)
