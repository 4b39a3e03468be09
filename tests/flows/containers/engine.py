"""The compose file run with podman alone: one container a service, in the order and under the conditions it names.

podman-compose takes a container that runs for one that is healthy, and podman without systemd runs no health checks.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

READY_SECONDS = 240
VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")
# crun refuses the mixed cgroups of some machines that have podman, and a machine may not raise its own limits.
SETTINGS = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""


class Compose:
    """A compose project of containers on one network.

    Parameters
    ----------
    file : compose file; relative volumes lie beside `folder`
    variables : what `${NAME}` in it stands for
    images : image -> the one that is run in its place
    beside : containers of the operator's own on the same network: name -> what the compose file would say of it
    """

    def __init__(
        self,
        file: Path,
        folder: Path,
        variables: dict[str, str],
        images: dict[str, str],
        beside: dict[str, dict[str, Any]],
    ) -> None:
        text = file.read_text()
        self.services: dict[str, Any] = yaml.safe_load(text)["services"]
        self.folder, self.variables, self.images, self.beside = folder, variables, images, beside
        self.network = f"somo-test-{os.getpid()}"
        (folder / "containers.conf").write_text(SETTINGS)
        self.started: list[str] = []

    def podman(self, *arguments: object, check: bool = True, timeout_s: float = 300) -> str:
        """Output of podman."""
        environment = {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")}
        done = subprocess.run(
            ["podman", *map(str, arguments)],
            env=environment, capture_output=True, text=True, check=False, timeout=timeout_s,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"podman {shlex.join(map(str, arguments))}: {done.stderr}"
        return done.stdout if done.returncode == 0 else ""

    def up(self) -> dict[str, float]:
        """Start every service once those it depends on are healthy or have ended well; seconds until each was so."""
        self.podman("network", "create", self.network)
        for name, service in self.beside.items():
            self._run(name, service)
        began, ready = time.monotonic(), dict[str, float]()
        for name, service in self.services.items():
            for needed, wanted in service.get("depends_on", {}).items():
                self._wait(needed, wanted["condition"])
            self._run(name, service)
        for name, service in self.services.items():
            if "healthcheck" in service:
                self._wait(name, "service_healthy")
                ready[name] = time.monotonic() - began
        return ready

    def down(self) -> None:
        """Remove containers, volumes and network."""
        for name in reversed(self.started):
            self.podman("rm", "--force", "--volumes", "--time", "5", self.container(name), check=False)
        for volume in self._volumes():
            self.podman("volume", "rm", "--force", volume, check=False)
        self.podman("network", "rm", "--force", self.network, check=False)

    def container(self, name: str) -> str:
        return f"{self.network}-{name}"

    def healthy(self, name: str) -> bool:
        """Whether the health check that the compose file names succeeds in the container now."""
        command = self.services[name]["healthcheck"]["test"][1:]
        return self.inside(name, *command) is not None

    def inside(self, name: str, *command: str) -> str | None:
        """Output of a command in a container; None if it failed."""
        environment = {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")}
        done = subprocess.run(
            ["podman", "exec", self.container(name), *command],
            env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else None

    def logs(self, name: str) -> str:
        done = subprocess.run(
            ["podman", "logs", "--tail", "40", self.container(name)], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def _volumes(self) -> set[str]:
        named = {str(v).split(":")[0] for service in self.services.values() for v in service.get("volumes", [])}
        return {f"{self.network}-{name}" for name in named if not name.startswith(".")}

    def _filled(self, text: str) -> str:
        """A text with its `${NAME:-default}` and `${NAME:?what is missing}` filled in, as compose does it."""

        def value(asked: re.Match[str]) -> str:
            name, kind, words = asked.groups()
            assert kind == "-" or self.variables.get(name), f"{name}: {words}"
            return self.variables.get(name) or words

        return VARIABLE.sub(value, text)

    def _run(self, name: str, service: dict[str, Any]) -> None:
        options: list[object] = ["--detach", "--name", self.container(name), "--network", self.network,
                                 "--network-alias", name]  # fmt: skip
        for key, value in service.get("environment", {}).items():
            chosen = self.variables.get(key) if value is None else self._filled(str(value))
            options += ["--env", f"{key}={chosen}"] if chosen is not None else []
        for volume in service.get("volumes", []):
            source, rest = volume.split(":", 1)
            place = self.folder / source if source.startswith(".") else f"{self.network}-{source}"
            options += ["--volume", f"{place}:{rest}"]
        for mount in service.get("tmpfs", []):
            options += ["--tmpfs", mount]
        options += ["--read-only"] if service.get("read_only") else []
        for right in service.get("cap_drop", []):
            options += ["--cap-drop", right]
        for option in service.get("security_opt", []):
            options += ["--security-opt", option.replace(":true", "")]
        for port in service.get("ports", []):
            options += ["--publish", port]
        options += ["--user", service["user"]] if "user" in service else []
        image = self.images.get(service["image"], service["image"])
        self.podman("run", *options, image, *map(self._filled, service["command"]))
        self.started.append(name)

    def _wait(self, name: str, condition: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            (state,) = json.loads(self.podman("inspect", self.container(name)))
            running, code = state["State"]["Running"], state["State"]["ExitCode"]
            if condition == "service_completed_successfully":
                if not running:
                    assert code == 0, f"{name} ended with status {code}: {self.logs(name)}"
                    return
            else:
                assert running, f"{name} ended with status {code}: {self.logs(name)}"
                if self.healthy(name):
                    return
            assert time.monotonic() < deadline, f"{name} is not ready: {self.logs(name)}"
            time.sleep(2)


def is_possible() -> bool:
    """Whether podman is here and the image was built (`make image`)."""
    if os.geteuid() != 0 or shutil.which("podman") is None:
        return False
    return subprocess.run(["podman", "image", "exists", "somo:0.1.0"], check=False).returncode == 0
