"""Compose and Kubernetes files from the list of services: `python -m flows.service.containers` writes them into infra/.

The files are checked in, and a test asserts that they are what this module makes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.cluster.pods import dask_cluster
from flows.cluster.workers import IMAGE
from flows.service.services import DEPLOYED_ONLY, SETTINGS_READERS, Place, Service, services, shared_environment
from somo.product.cluster import CLUSTER_KINDS, KubernetesPods

HOME = Path(__file__).parents[2]
HEADER = "# Made by `python -m flows.service.containers` from flows/service/services.py; change that instead.\n"
NAMES = ("s3", "postgres", "prefect-server", "prefect-worker", "dask-scheduler", "dask-worker", "prometheus")
PLACE = Place(
    hosts={name: name for name in NAMES}, bind="0.0.0.0", data="/data", secrets="/run/somo", workers=1, memory_gb=4.0
)
# The root is the one that `somo credentials` has made the S3 identities for, where it says so among the secrets.
DEPLOYED = {"SOMO_PRODUCT": "/app/product.toml", "SOMO_ROOT": "s3://somo/product"}
# S3's check of health makes the bucket of the root.
ROOT_READERS = (*SETTINGS_READERS, "s3")
OPEN = {"prefect-server": "prefect-server", "dask-scheduler": "dashboard", "s3": "s3", "prometheus": "prometheus"}
KEPT = ("s3", "postgres", "prometheus")
PARTS = {"dask-worker": 2}
MEMORY_GB = {"dask-worker": 5, "prefect-worker": 4, "s3": 2, "postgres": 1, "prefect-server": 1, "dask-scheduler": 2}


def environment(service: Service) -> dict[str, str]:
    """Environment of a service, secrets left out; images that are not ours get nothing of ours."""
    # SeaweedFS takes the AWS_* variables of its environment for an administrator of its own.
    if service.image != IMAGE or service.name == "s3":
        return dict(service.environment)
    deployed = {"SOMO_PRODUCT": DEPLOYED["SOMO_PRODUCT"]} if service.name in SETTINGS_READERS else {}
    return {**shared_environment(PLACE), **deployed, **service.environment}


def compose() -> dict[str, Any]:
    """The compose file as plain values."""
    return {
        "name": "somo",
        "services": {service.name: _compose_service(service) for service in services(PLACE)},
        "volumes": {name: {} for name in KEPT},
    }


def _compose_service(service: Service) -> dict[str, Any]:
    described: dict[str, Any] = {
        "image": service.image,
        # The entry point of Prometheus' image is the program itself, and compose sets what follows it.
        "command": [_set_by_operator(word) for word in service.command[service.name == "prometheus" :]],
        "environment": environment(service),
        "volumes": [f"./secrets/{service.files}:{PLACE.secrets}/{service.files}:ro"] if service.files else [],
        "restart": "on-failure" if service.once else "unless-stopped",
    }
    if service.image == IMAGE:
        described["build"] = {"context": "..", "dockerfile": "docker/Dockerfile"}
        described["read_only"] = True
        # podman gives a mounted home to root, whatever mode is asked for; `/tmp` is open to the image's user.
        described["tmpfs"] = ["/tmp"]
        described["environment"] = {**described["environment"], "HOME": "/tmp"}
        described["cap_drop"] = ["ALL"]
        described["security_opt"] = ["no-new-privileges:true"]
    if service.secret:
        described["environment"] |= {name: f"${{{name}:?see infra/README.md}}" for name in service.secret}
    if service.name in ROOT_READERS:
        described["environment"]["SOMO_ROOT"] = f"${{SOMO_ROOT:-{DEPLOYED['SOMO_ROOT']}}}"
    # A name without a value is passed on from the shell or the file that compose is given, where it is set there.
    described["environment"] |= dict.fromkeys(service.settings)
    if service.name in SETTINGS_READERS:
        described["environment"] |= dict.fromkeys(_settings_of(service))
        described["volumes"].append(f"./product.toml:{DEPLOYED['SOMO_PRODUCT']}:ro")
    if service.name in KEPT:
        described["volumes"].append(f"{service.name}:/data")
    # The image of Prometheus owns no /data; root without rights may write what root owns.
    if service.name == "prometheus":
        described |= {"user": "0:0", "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    if service.name in OPEN:
        port = PLACE.ports[OPEN[service.name]]
        # On loopback alone: what goes over these ports is plain HTTP (SECURITY.md).
        described["ports"] = [f"127.0.0.1:{port}:{port}"]
    if service.needs:
        ended = {s.name for s in services(PLACE) if s.once}
        state = {
            name: "service_completed_successfully" if name in ended else "service_healthy" for name in service.needs
        }
        described["depends_on"] = {name: {"condition": condition} for name, condition in state.items()}
    if service.name in PARTS:
        described["deploy"] = {"replicas": f"${{SOMO_CLUSTER_WORKERS:-{PARTS[service.name]}}}"}
    if (test := _health_test(service)) is not None:
        described["healthcheck"] = {"test": test, "interval": "10s", "timeout": "10s", "retries": 24}
    return described


def _set_by_operator(word: str) -> str:
    """A word of a command in which compose fills in what an operator may set: the memory by which runs plan regions."""
    memory = f"{PLACE.memory_gb:g}GB"
    return f"${{SOMO_CLUSTER_MEMORY_GB:-{PLACE.memory_gb:g}}}GB" if word == memory else word


def _settings_of(service: Service) -> tuple[str, ...]:
    """Variables in which an operator may set something for a service."""
    fields = {name for kind in CLUSTER_KINDS.values() for name in kind.model_fields} - {"address"}
    return (*(DEPLOYED_ONLY if service.name == "deploy" else ()), *sorted(f"SOMO_CLUSTER_{n.upper()}" for n in fields))


def _health_test(service: Service) -> list[str] | None:
    """Command that tells inside the container whether the service is healthy."""
    if service.name == "postgres":
        return ["CMD", "pg_isready", "-U", "prefect", "-h", "127.0.0.1"]
    if service.name in ("s3", "dask-worker"):
        return ["CMD", "python", "-m", "flows.service.checkup.ready", service.name]
    if service.health is None or service.image != IMAGE:
        return None
    return ["CMD", *service.health.command(service.name)]


def kubernetes() -> list[dict[str, Any]]:
    """The Kubernetes resources as plain values; namespace and image are set by Kustomize."""
    resources: list[dict[str, Any]] = []
    for service in services(PLACE):
        if service.name in KEPT:
            size = {"resources": {"requests": {"storage": "100Gi" if service.name == "s3" else "10Gi"}}}
            claim = {"accessModes": ["ReadWriteOnce"], **size}
            resources.append(_resource("v1", "PersistentVolumeClaim", service.name, spec=claim))
        resources.append(_job(service) if service.once else _deployment(service))
        if ports := _ports(service):
            spec = {"selector": {"app": service.name}, "ports": ports}
            resources.append(_resource("v1", "Service", service.name, spec=spec))
    return [*resources, _network_policy()]


def _resource(version: str, kind: str, name: str, **body: Any) -> dict[str, Any]:
    labels = {"app": name, "app.kubernetes.io/part-of": "somo"}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, **body}


def _deployment(service: Service) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": service.name, "app.kubernetes.io/part-of": "somo"}},
        "spec": _pod(service),
    }
    spec: dict[str, Any] = {
        "replicas": PARTS.get(service.name, 1),
        "selector": {"matchLabels": {"app": service.name}},
        "template": template,
    }
    if service.name in KEPT:
        # One pod at a time may hold the volume: a new one cannot start beside the old one.
        spec["strategy"] = {"type": "Recreate"}
    return _resource("apps/v1", "Deployment", service.name, spec=spec)


def _job(service: Service) -> dict[str, Any]:
    template = {"spec": {**_pod(service), "restartPolicy": "OnFailure"}}
    # Kubernetes starts everything at once: the job fails until Prefect's server answers.
    return _resource("batch/v1", "Job", service.name, spec={"backoffLimit": 20, "template": template})


def _pod(service: Service) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [{"name": k, "value": v} for k, v in environment(service).items()]
    variables += [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "somo", "key": name}}} for name in service.secret
    ]
    for name in service.settings:
        setting = {"configMapKeyRef": {"name": "settings", "key": name, "optional": True}}
        variables.append({"name": name, "valueFrom": setting})
    if service.name in ROOT_READERS:
        root = {"secretKeyRef": {"name": "somo", "key": "SOMO_ROOT"}}
        variables.append({"name": "SOMO_ROOT", "valueFrom": root})
    if service.name == "deploy":
        webhook = {"secretKeyRef": {"name": "somo", "key": "SOMO_WEBHOOK", "optional": True}}
        variables.append({"name": "SOMO_WEBHOOK", "valueFrom": webhook})
    memory = f"{MEMORY_GB.get(service.name, 1)}Gi"
    container: dict[str, Any] = {
        "name": service.name,
        "image": service.image,
        # The entry point of PostgreSQL's image makes the database; a pod's command would replace it, its arguments do
        # not.
        ("args" if service.name == "postgres" else "command"): list(service.command),
        "env": variables,
        "resources": {"requests": {"memory": memory, "cpu": "1" if service.name == "dask-worker" else "250m"},
                      "limits": {"memory": memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [],
    }  # fmt: skip
    volumes: list[dict[str, Any]] = []
    if service.files:
        secret = {"secretName": f"somo-{service.files}", "defaultMode": 0o440}
        volumes.append({"name": "secrets", "secret": secret})
        mount = {"name": "secrets", "mountPath": f"{PLACE.secrets}/{service.files}", "readOnly": True}
        container["volumeMounts"].append(mount)
    if service.name in SETTINGS_READERS:
        container["envFrom"] = [{"configMapRef": {"name": "settings", "optional": True}}]
        volumes.append({"name": "product", "configMap": {"name": "product"}})
        place = {"mountPath": DEPLOYED["SOMO_PRODUCT"], "subPath": "product.toml", "readOnly": True}
        container["volumeMounts"].append({"name": "product", **place})
    if service.name in KEPT:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": service.name}})
        container["volumeMounts"].append({"name": "data", "mountPath": "/data"})
    if ports := _ports(service):
        container["ports"] = [{"containerPort": port["port"], "name": port["name"]} for port in ports]
    if probe := _readiness(service):
        container["readinessProbe"] = probe
    # The users of these two images, and of ours (docker/Dockerfile).
    user = {"postgres": 999, "prometheus": 65534}.get(service.name, 10001)
    context = {"runAsNonRoot": True, "runAsUser": user, "fsGroup": user, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "securityContext": context,
        # The worker alone may ask the Dask operator for clusters; nothing else talks to Kubernetes.
        "automountServiceAccountToken": service.name == "prefect-worker",
        # Variables such as PREFECT_SERVER_PORT=tcp://..., which Kubernetes makes of the names of services, are read as
        # settings by the programs of these names.
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": volumes,
    }


def _readiness(service: Service) -> dict[str, Any] | None:
    """What tells Kubernetes that a service does its work: the health check of the compose file, else an open port."""
    if not (ports := _ports(service)):
        # Nobody connects to it, and each question would take a second of its processor.
        return None
    if test := _health_test(service):
        # Python loads its libraries anew for every question. S3's makes the bucket where there is none yet.
        return {"exec": {"command": test[1:]}, "periodSeconds": 20, "timeoutSeconds": 15}
    return {"tcpSocket": {"port": ports[0]["port"]}, "periodSeconds": 5}


def _ports(service: Service) -> list[dict[str, Any]]:
    names = {"dask-scheduler": ("dask-scheduler", "dashboard"), "dask-worker": ()}
    port_names: tuple[str, ...] = names.get(service.name, (service.name,) if service.name in PLACE.ports else ())
    return [{"name": name, "port": PLACE.ports[name]} for name in port_names]


def _network_policy() -> dict[str, Any]:
    """Only pods of the namespace, and the Dask operator, may open connections to its pods.

    People come in by `kubectl port-forward`.
    """
    operator = {"matchLabels": {"kubernetes.io/metadata.name": "dask-operator"}}
    allowed = [{"podSelector": {}}, {"namespaceSelector": operator}]
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": allowed}]}
    return _resource("networking.k8s.io/v1", "NetworkPolicy", "somo", spec=spec)


def operator() -> list[dict[str, Any]]:
    """The right of a service account to ask the Dask operator for clusters."""
    dask_resources = ["daskclusters", "daskworkergroups", "daskworkergroups/scale", "daskautoscalers"]
    rules = [
        {"apiGroups": ["kubernetes.dask.org"], "resources": dask_resources, "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["pods", "pods/log", "services"], "verbs": ["get", "list", "watch"]},
    ]
    account = {"kind": "ServiceAccount", "name": "somo-dask"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "somo-dask"}
    return [
        _resource("v1", "ServiceAccount", "somo-dask"),
        _resource("rbac.authorization.k8s.io/v1", "Role", "somo-dask", rules=rules),
        _resource("rbac.authorization.k8s.io/v1", "RoleBinding", "somo-dask", subjects=[account], roleRef=role),
    ]


def asked_cluster() -> list[dict[str, Any]]:
    """What a run asks the operator for in this place."""
    storage = {name: value for name, value in shared_environment(PLACE).items() if name.startswith("AWS_")}
    return [dask_cluster("somo", KubernetesPods(memory_gb=PLACE.memory_gb), storage)]


def documents() -> Mapping[Path, str]:
    """Every file of infra/ that is made here, with its text."""
    resources_by_file = {
        "compose.yaml": [compose()],
        "k8s/services.yaml": kubernetes(),
        "k8s/operator.yaml": operator(),
        "k8s/daskcluster.yaml": asked_cluster(),
    }
    return {
        HOME / "infra" / name: HEADER + yaml.safe_dump_all(resources, sort_keys=False, width=120)
        for name, resources in resources_by_file.items()
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
