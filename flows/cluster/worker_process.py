"""What every worker does as it starts: Dask preloads this module in each (`WORKER_ENVIRONMENT`)."""

import logging

from distributed import Worker

from flows.failures import without_secrets
from flows.many_objects import collect_less


class WithoutSecrets(logging.Formatter):
    """Formats as another formatter does, and leaves out signatures and logins: no worker's log holds any."""

    def __init__(self, former: logging.Formatter) -> None:
        super().__init__()
        self._former = former

    def format(self, record: logging.LogRecord) -> str:
        """The whole entry: of a task that failed Dask writes the arguments, the error and its traceback."""
        return without_secrets(self._former.format(record))


def dask_setup(worker: Worker) -> None:
    """What Dask calls when a worker starts."""
    collect_less()
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    handlers = {handler for logger in (logging.root, *loggers) for handler in logger.handlers}
    # Loggers of libraries that nobody has configured write by this one.
    if logging.lastResort is not None:
        handlers.add(logging.lastResort)
    for handler in handlers:
        handler.setFormatter(WithoutSecrets(handler.formatter or logging.Formatter()))
