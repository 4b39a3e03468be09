# Every target makes its own environment first, from requirements-dev.lock: with PYTHON, for the processor TORCH (cpu or
# cuda). Where PyTorch comes from, and how to name another place, is told in tools/environment.sh.
PYTHON ?= python3
TORCH ?= cpu
UV_VERSION ?= 0.13.9
BIN := .venv/bin
READY := .venv/.ready
VIEWER := somo/publish/viewer
UV = $(if $(shell uv --version 2>/dev/null),uv,.uv/bin/uv)

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PYTHON TORCH TORCH_INDEX UV_VERSION
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# uv installs packages without compiling them, and Python does it at their first import. Where a machine forbids Python to
# keep the outcome, every process compiles PyTorch, pandas and Prefect anew, and the tests start hundreds of processes.
export PYTHONDONTWRITEBYTECODE :=

# The documentation as pages, with every link inside it checked.
docs: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build

# The picture of the README, from the demo's bucket once it is released.
pictures: $(READY)
	$(BIN)/python tools/pictures.py demo/bucket docs/pictures

# The page of every key and the schema that editors check declarations by, after a change of the declaration.
keys: $(READY)
	$(BIN)/python -c "from pathlib import Path; from somo.product.keys.page import page; Path('docs/keys.md').write_text(page())"
	$(BIN)/somo schema -o flows/products/somo.schema.json

# What the targets are for.
help:
	@echo "make environment   .venv with all that the command somo needs; then: source .venv/bin/activate"
	@echo "make demo          the environment, and a product of a small invented Europe, from source files to report (default)"
	@echo "make test          all tests; make quick: those of less than a second"
	@echo "make lint          style, types and who may import whom"
	@echo "make docs          the documentation as pages in docs/_build"
	@echo "make bench         benchmarks; PART=... for one"
	@echo "make stack         the whole service on this machine"
	@echo "make image         the container image of the service"
	@echo "make viewer        the web page beside the data, with Node.js"
	@echo "PYTHON=/usr/bin/python3.12 names a Python, TORCH=cuda takes PyTorch for NVIDIA's cards"

environment: $(READY)

.PHONY: help environment restarts image containers docs keys pictures viewer page demo test quick lint bench stack lock sbom audit
.DEFAULT_GOAL := demo

demo: $(READY) page
	$(BIN)/somo demo

# Three processes on two cores: a third of the time is spent waiting for services that were killed or are silent.
test: $(READY) page
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile -m "not container" --durations=15

# At every save: tests of less than a second that need neither real cases nor real servers nor killings. Those that took
# longer are named at the end, and belong into tests/lanes.py.
quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=10 --durations-min=1 \
		-m "not slow and not real and not s3 and not service and not fault and not container"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) page
	MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824 $(BIN)/python -m flows.bench $(PART)

stack: $(READY)
	$(BIN)/somo stack

# The image of all services of ours, and the compose file run from it. IMAGE_FLAGS are passed on to the builder, as
# --build-arg BASE=... --build-arg TORCH_INDEX=...
BUILDER ?= $(if $(shell command -v buildah),buildah bud --isolation chroot --layers,docker build)
image:
	$(BUILDER) $(IMAGE_FLAGS) -f docker/Dockerfile -t somo:0.1.0 .

containers: $(READY) image
	$(BIN)/python -m pytest tests/flows/containers -m container -v

# Starts and stops the whole service TIMES times, about two minutes each, and says what is left of it.
TIMES ?= 20
restarts: $(READY)
	$(BIN)/python -m tests.faults.restarts --times $(TIMES)

# The web page beside the data; built where there is Node.js, and carried by the wheel.
viewer: $(VIEWER)/dist/index.html

$(VIEWER)/dist/index.html: $(wildcard $(VIEWER)/*.json $(VIEWER)/*.js $(VIEWER)/index.html) \
	$(shell find $(VIEWER)/src $(VIEWER)/scripts -type f -not -path "*/shipped/*")
	cd $(VIEWER) && npm ci --no-audit --no-fund --loglevel=error && npm run build

page:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory viewer; \
	else echo "no Node.js here: the web page is left out; install Node.js 20 and run make viewer"; fi

# Always made anew, so that an interrupted attempt leaves nothing behind; uv has the packages in its cache by then.
$(READY): requirements-dev.lock requirements-torch.lock tools/environment.sh
	@sh tools/environment.sh .venv
	@echo $(TORCH) > $(READY)

# Whoever names TORCH gets an environment for it, also where there is one for the other.
ifneq ($(origin TORCH),file)
ifneq ($(shell cat $(READY) 2>/dev/null),$(TORCH))
.PHONY: $(READY)
endif
endif

# The locks: one for every Python from 3.11 to 3.13, with hashes; requirements.lock holds what production needs of
# requirements-dev.lock. Versions stay as they are where pyproject.toml allows; to move: make lock MOVE=--upgrade, or
# MOVE='--upgrade-package NAME'. PyTorch's version is in requirements-torch.lock and moves by hand, there and in
# tools/lock.toml.
LOCK := pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-package torch --constraint requirements-torch.lock \
	--config-file tools/lock.toml --custom-compile-command "make lock"
lock: $(READY)
	env -u UV_FIND_LINKS $(UV) $(LOCK) $(MOVE) --all-extras --output-file requirements-dev.lock
	cp requirements-dev.lock requirements.lock
	env -u UV_FIND_LINKS $(UV) $(LOCK) --extra s3 --extra kubernetes --extra slurm --output-file requirements.lock

# What the image installs with its Python 3.11, as CycloneDX.
sbom: $(READY)
	$(UV) pip compile requirements.lock requirements-torch.lock --quiet --no-deps --python-version 3.11 --no-header \
		--no-annotate --output-file .venv/image.txt
	$(BIN)/cyclonedx-py requirements .venv/image.txt --pyproject pyproject.toml --output-reproducible -o sbom.json

# Known vulnerabilities of those packages; asks a service on the network, and fails where that cannot be asked.
audit: $(READY)
	$(BIN)/pip-audit -r requirements.lock --no-deps --disable-pip --strict --progress-spinner off
	$(BIN)/pip-audit -r requirements-torch.lock --no-deps --disable-pip --strict --progress-spinner off
