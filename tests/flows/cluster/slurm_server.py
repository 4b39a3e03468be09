"""A real SLURM on loopback for as long as a test needs it: munge, one controller, one node of its own.

It has ports, keys, sockets and a spool of its own, so that a SLURM which the machine has already is not touched.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flows.service.s3server import free_ports

PROGRAMS = ("sbatch", "squeue", "scancel", "scontrol", "slurmctld", "slurmd", "munged")
READY_SECONDS = 30
# Four CPUs are told to SLURM wherever it runs, since the tests are about jobs and not about speed.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
GresTypes=gpu
KillWait=5
InactiveLimit=0
MinJobAge=300
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=1,sched_interval=2,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:1 Feature=fast State=UNKNOWN
PartitionName=compute Nodes={host} Default=YES MaxTime=05:00:00 State=UP
PartitionName=closed Nodes={host} MaxTime=05:00:00 State=DOWN
"""


def is_possible() -> bool:
    """Whether this machine can have one: its packages are there, and its daemons may be started."""
    return os.geteuid() == 0 and all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in PROGRAMS)


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run SLURM; gives the variables with which `sbatch` and its like find it."""
    controller, node = free_ports(2)
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, controller=controller, node=node, folder=folder))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    variables = {"SLURM_CONF": str(configuration)}
    with ExitStack() as daemons:
        _munge(folder / "munge", daemons)
        for daemon in ("slurmctld", "slurmd"):
            _start([f"/usr/sbin/{daemon}", "-D", "-f", configuration], folder / f"{daemon}.log", variables, daemons)
        _until("a node that is idle", ["sinfo", "-h", "-o", "%t"], "idle", variables)
        try:
            yield variables
        finally:
            subprocess.run(["scancel", "-u", "root"], env=os.environ | variables, check=False)
            _until("an empty queue", ["squeue", "-h"], "", variables)


def _munge(folder: Path, daemons: ExitStack) -> None:
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    # munged refuses folders that others may write to above its socket, as those of tests below /tmp are; hence --force.
    _start(
        ["/usr/sbin/munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/socket",
         f"--pid-file={folder}/pid", f"--seed-file={folder}/seed", f"--log-file={folder}/log"],
        folder / "output", {}, daemons,
    )  # fmt: skip
    deadline = time.monotonic() + READY_SECONDS
    while not (folder / "socket").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _start(command: list[object], log: Path, variables: dict[str, str], daemons: ExitStack) -> None:
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=output, env=os.environ | variables, start_new_session=True
        )

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    daemons.callback(end)


def _until(what: str, command: list[str], expected: str, variables: dict[str, str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        asked = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
        lines = set(asked.stdout.split())
        if asked.returncode == 0 and (lines == {expected} if expected else not lines):
            return
        time.sleep(0.2)
    raise AssertionError(f"SLURM has not {what} after {READY_SECONDS} s: {asked.stdout} {asked.stderr}")
