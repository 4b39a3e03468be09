"""Dask as pods of the Dask operator."""

from uuid import uuid4

import dask
from distributed.deploy.cluster import Cluster as DaskCluster

from flows.cluster.errors import ClusterError, require_package
from flows.cluster.pods import dask_cluster, gpu_workers
from flows.environment import inherited
from somo.product.cluster import KubernetesPods

STORAGE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ALLOW_HTTP")

PLAIN_TCP = (
    '[cluster] kind = "kubernetes": the Dask operator knows no TLS. Whoever reaches a port of its pods runs code in '
    "them with the keys of the bucket; only a network that enforces the NetworkPolicy of infra/k8s keeps others out. "
    'If yours does, say accept_plain_tcp = true; if not, use kind = "address" with the TLS scheduler and workers of '
    "infra/k8s"
)


def start(declared: KubernetesPods) -> DaskCluster:
    """A cluster of the Dask operator: CPU workers scale with the work, GPU workers form a group of their own.

    Raises
    ------
    ClusterError
        unless the declaration accepts that the operator's addresses are tcp://
    """
    if not declared.accept_plain_tcp:
        raise ClusterError(PLAIN_TCP)
    # An optional dependency, which no other kind of cluster needs.
    require_package("dask_kubernetes", "kubernetes")
    from dask_kubernetes.operator import KubeCluster

    # Where this process runs in the service, its own settings ask for TLS and would refuse the operator's addresses.
    dask.config.set({"distributed.comm.require-encryption": False})
    storage = inherited(*STORAGE_VARIABLES)
    wanted = dask_cluster(f"somo-{uuid4().hex[:8]}", declared, storage)
    kube_cluster = KubeCluster(custom_cluster_spec=wanted, namespace=declared.namespace)
    if declared.gpu_workers:
        kube_cluster.add_worker_group("gpu", custom_spec=gpu_workers(declared, storage))
    kube_cluster.adapt(minimum=1, maximum=declared.workers)
    cluster: DaskCluster = kube_cluster
    return cluster
