"""What the Dask operator is asked for: a scheduler and workers as pods, with GPU workers as a group of their own."""

from collections.abc import Mapping
from typing import Any

from flows.cluster.workers import IMAGE, S3_SECRETS, WORKER_ENVIRONMENT
from somo.product.cluster import KubernetesPods

WORKER = "dask worker --nthreads 1"
SCHEDULER = ("dask", "scheduler", "--host", "0.0.0.0")
# Pods of a run that died are taken down after this time.
IDLE_S = 3600


def dask_cluster(name: str, declared: KubernetesPods, storage: Mapping[str, str]) -> dict[str, Any]:
    """DaskCluster resource with its first worker.

    Parameters
    ----------
    storage : variables that say where the object store is; its keys come from the secret `somo`, if there is one
    """
    from dask_kubernetes.operator import make_cluster_spec

    size = {"cpu": "1", "memory": f"{declared.memory_gb:g}G"}
    resource: dict[str, Any] = make_cluster_spec(
        name,
        declared.image or IMAGE,
        n_workers=1,
        resources={"requests": size, "limits": size},
        env=environment(storage),
        worker_command=WORKER,
        idle_timeout=IDLE_S,
    )
    resource["spec"]["scheduler"]["spec"]["containers"][0]["args"] = list(SCHEDULER)
    for role in ("scheduler", "worker"):
        _take_rights(resource["spec"][role]["spec"])
    return resource


def gpu_workers(declared: KubernetesPods, storage: Mapping[str, str]) -> dict[str, Any]:
    """Worker group whose pods hold one GPU each and advertise it."""
    from dask_kubernetes.operator import make_worker_spec

    size = {"cpu": "1", "memory": f"{declared.memory_gb:g}G"}
    group: dict[str, Any] = make_worker_spec(
        declared.image or IMAGE,
        declared.gpu_workers,
        {"requests": size, "limits": {**size, "nvidia.com/gpu": "1"}},
        environment(storage),
        f"{WORKER} --resources GPU=1",
    )
    _take_rights(group["spec"])
    return group


def environment(storage: Mapping[str, str]) -> list[dict[str, Any]]:
    """Variables of every pod."""
    key = {name: {"secretKeyRef": {"name": "somo", "key": name, "optional": True}} for name in S3_SECRETS}
    return [
        *({"name": name, "value": value} for name, value in {**WORKER_ENVIRONMENT, **storage}.items()),
        *({"name": name, "valueFrom": value} for name, value in key.items()),
    ]


def _take_rights(pod: dict[str, Any]) -> None:
    # 10001 is the user of our image (docker/Dockerfile).
    pod["securityContext"] = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    # Neither scheduler nor workers talk to Kubernetes.
    pod |= {"automountServiceAccountToken": False, "enableServiceLinks": False}
    for container in pod["containers"]:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
