"""Compose and Kubernetes run what the local stack runs."""

import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose

from flows.cluster.pods import gpu_workers
from flows.cluster.workers import IMAGE, S3_SECRETS
from flows.service.containers import PLACE, documents, kubernetes
from flows.service.services import services
from somo.product.cluster import KubernetesPods

INFRA = Path(__file__).parents[3] / "infra"
KUBERNETES = "1.32"
SECRETS = {name for service in services(PLACE) for name in service.secret}


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load((INFRA / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def resources() -> dict[tuple[str, str], dict]:
    found = yaml.safe_load_all((INFRA / "k8s" / "services.yaml").read_text())
    return {(r["kind"], r["metadata"]["name"]): r for r in found}


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_checked_in_files_are_what_the_services_make(path: Path) -> None:
    assert path.read_text() == documents()[path], "run python -m flows.service.containers"


def test_compose_file_is_what_the_compose_specification_allows() -> None:
    # Compose fills in variables before it reads the file.
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (INFRA / "compose.yaml").read_text())
    assert set(PyCompose.from_yaml(text).service_names()) == {service.name for service in services(PLACE)}
    with pytest.raises(ValueError, match="healthcheckk"):
        PyCompose.from_yaml(text.replace("healthcheck:", "healthcheckk:", 1))


@pytest.mark.parametrize("name", ["services.yaml", "operator.yaml", "daskcluster.yaml"])
def test_kubernetes_resources_are_what_its_api_allows(name: str) -> None:
    for resource in yaml.safe_load_all((INFRA / "k8s" / name).read_text()):
        if resource["kind"] == "DaskCluster":
            for part in ("scheduler", "worker"):
                pod = {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": part},
                    "spec": resource["spec"][part]["spec"],
                }
                kubernetes_validate.validate(pod, KUBERNETES, strict=True)
            continue
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate({**resource, "specs": {}}, KUBERNETES, strict=True)


def test_compose_runs_every_service_with_its_command(compose: dict) -> None:
    assert set(compose["services"]) == {service.name for service in services(PLACE)}
    for service in services(PLACE):
        described = compose["services"][service.name]
        skipped = 1 if service.name == "prometheus" else 0
        # Compose fills in variables before it starts anything.
        command = tuple(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in described["command"])
        assert command == service.command[skipped:]
        assert set(described.get("depends_on", {})) == set(service.needs)


def test_kubernetes_runs_every_service_with_its_command(resources: dict) -> None:
    for service in services(PLACE):
        described = resources["Job" if service.once else "Deployment", service.name]
        (container,) = described["spec"]["template"]["spec"]["containers"]
        assert tuple(container.get("command") or container["args"]) == service.command
        assert container["image"] == service.image


def test_a_pod_is_ready_when_its_container_would_be_healthy(compose: dict, resources: dict) -> None:
    """S3's check makes the bucket, without which the first put is refused."""
    asked = {}
    for (kind, name), described in resources.items():
        if kind == "Deployment":
            (container,) = described["spec"]["template"]["spec"]["containers"]
            asked[name] = container.get("readinessProbe", {}).get("exec", {}).get("command")
    for name in ("s3", "postgres", "prefect-server", "dask-scheduler"):
        assert compose["services"][name]["healthcheck"]["test"] == ["CMD", *asked[name]]
    assert asked["s3"][-2:] == ["flows.service.checkup.ready", "s3"]


def test_the_product_is_where_deployment_and_worker_look_for_it(compose: dict, resources: dict) -> None:
    for kind, name in (("Job", "deploy"), ("Deployment", "prefect-worker")):
        assert "./product.toml:/app/product.toml:ro" in compose["services"][name]["volumes"]
        (container,) = resources[kind, name]["spec"]["template"]["spec"]["containers"]
        assert {"name": "SOMO_PRODUCT", "value": "/app/product.toml"} in container["env"]
        assert "/app/product.toml" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_ports_are_published_on_loopback_alone(compose: dict) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_secret_is_written_down(compose: dict, resources: dict) -> None:
    for service in compose["services"].values():
        assert all(service["environment"].get(n, "${").startswith("${") for n in SECRETS)
    for resource in kubernetes():
        spec = resource.get("spec", {}).get("template", {}).get("spec", {})
        for container in spec.get("containers", []):
            assert all("valueFrom" in entry for entry in container["env"] if entry["name"] in SECRETS)


def test_containers_of_ours_have_no_rights(compose: dict, resources: dict) -> None:
    for service in services(PLACE):
        pod = resources["Job" if service.once else "Deployment", service.name]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        if service.image == IMAGE:
            assert compose["services"][service.name]["cap_drop"] == ["ALL"]


def test_pods_get_neither_a_key_to_kubernetes_nor_variables_that_nobody_set(resources: dict) -> None:
    (asked,) = yaml.safe_load_all((INFRA / "k8s" / "daskcluster.yaml").read_text())
    pods = {part: asked["spec"][part]["spec"] for part in ("scheduler", "worker")}
    for service in services(PLACE):
        pods[service.name] = resources["Job" if service.once else "Deployment", service.name]["spec"]["template"][
            "spec"
        ]
    assert {name for name, pod in pods.items() if pod["automountServiceAccountToken"]} == {"prefect-worker"}
    assert not any(pod["enableServiceLinks"] for pod in pods.values())


def test_the_image_is_pinned_and_runs_as_nobody() -> None:
    text = (INFRA.parent / "docker" / "Dockerfile").read_text()
    assert "requirements.lock" in text
    assert text.count("USER somo") == 1
    assert ":latest" not in text


def test_pods_of_the_operator_reach_the_object_store_without_a_key_written_down() -> None:
    (asked,) = yaml.safe_load_all((INFRA / "k8s" / "daskcluster.yaml").read_text())
    for part in ("scheduler", "worker"):
        (container,) = asked["spec"][part]["spec"]["containers"]
        variables = {entry["name"]: entry for entry in container["env"]}
        assert variables["AWS_ENDPOINT_URL"]["value"] == PLACE.url("s3")
        assert all(variables[name]["valueFrom"]["secretKeyRef"]["name"] == "somo" for name in S3_SECRETS)
        program, *arguments = container["args"][:2]
        help_of = [Path(sys.executable).with_name(program), *arguments, "--help"]
        assert subprocess.run(help_of, capture_output=True, check=False).returncode == 0
    assert container["args"][:4] == ["dask", "worker", "--nthreads", "1"]


def test_gpu_workers_hold_a_gpu_and_say_so() -> None:
    made = gpu_workers(KubernetesPods(gpu_workers=2, image="somo:cuda"), {})
    (container,) = made["spec"]["containers"]
    assert (made["replicas"], container["image"]) == (2, "somo:cuda")
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["args"][4:6] == ["--resources", "GPU=1"]
    kubernetes_validate.validate(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "gpu"}, "spec": made["spec"]}, KUBERNETES, strict=True
    )
