"""Whether what a run needs is well: before a run, inside a container, and while the services run for months."""
