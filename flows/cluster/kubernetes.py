"""Dask as pods of the Dask operator."""

from uuid import uuid4

import dask
from distributed.deploy.cluster import Cluster as DaskCluster

from flows.cluster.pods import dask_cluster, gpu_workers
from flows.environment import inherited
from somo.product.cluster import KubernetesPods

STORAGE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ALLOW_HTTP")


def start(declared: KubernetesPods) -> DaskCluster:
    """A cluster of the Dask operator: CPU workers scale with the work, GPU workers form a group of their own.

    The operator's addresses are tcp://, so that this process may not insist on TLS; infra/k8s keeps others out.
    """
    from dask_kubernetes.operator import KubeCluster

    dask.config.set({"distributed.comm.require-encryption": False})
    storage = inherited(*STORAGE_VARIABLES)
    wanted = dask_cluster(f"somo-{uuid4().hex[:8]}", declared, storage)
    made = KubeCluster(custom_cluster_spec=wanted, namespace=declared.namespace)
    if declared.gpu_workers:
        made.add_worker_group("gpu", custom_spec=gpu_workers(declared, storage))
    made.adapt(minimum=1, maximum=declared.workers)
    return made
