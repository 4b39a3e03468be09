"""What every worker process starts with, whichever cluster it belongs to."""

IMAGE = "somo:0.1.0"
S3_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
WORKER_ENVIRONMENT = {
    # For torch: a worker is one process of one core.
    "OMP_NUM_THREADS": "1",
    # Training asks for the same large buffers batch after batch; clean pages from the system cost as much as its
    # arithmetic. So what was freed is kept for the next batch.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
    # The port of a worker's pages knows no login.
    "DASK_DISTRIBUTED__WORKER__HTTP__ROUTES": "[]",
    # Dask's profiler looks at a worker's frames every 10 ms and so keeps what they hold a moment longer. HDF5 lays out
    # a file by when its datasets are closed, so that yearly files of equal values had other bytes now and then.
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__WORKER__PRELOAD": "flows.cluster.worker_process",
}
