"""Small archives written by hand, as the ISMN lays them out."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from somo.insitu.daily import DailySensor, read_daily
from somo.insitu.reading import in_stored_order, read_recordings
from somo.insitu.sensor import Sensor
from somo.insitu.sources.readers import READERS

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


def write_zip(path: Path, files: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


def write_folder(path: Path, files: Mapping[str, str | bytes]) -> str:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def read_sensors(url: str, kind: str = "ismn") -> list[Sensor]:
    """Every sensor of an archive whose files can be read, in the order of the listing."""
    recordings = READERS[kind].list_recordings(url, "archive")
    contents = dict(read_recordings(in_stored_order(r for r in recordings if not r.problem)))
    sensors = []
    for recording in recordings:
        assert not recording.problem, recording.problem
        data = contents[recording]
        assert isinstance(data, list), data
        sensors.append(READERS[kind].read_sensor(recording, data))
    return sensors


def read_all(url: str, kind: str = "ismn") -> list[DailySensor]:
    """Daily means of every sensor of an archive; files that cannot be used say why."""
    recordings = READERS[kind].list_recordings(url, "archive")
    readable = in_stored_order(r for r in recordings if not r.problem)
    return sorted(read_daily(READERS[kind], readable), key=lambda s: (s.network, s.station, s.depth_from_m))
