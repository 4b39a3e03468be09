# Every target makes its own environment first, from requirements.lock.
# A machine without the CPU build of PyTorch on its index: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
READY := .venv/.ready
VIEWER := somo/publish/viewer

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: viewer page demo test lint bench stack lock sbom audit
.DEFAULT_GOAL := demo

demo: $(READY) page
	$(BIN)/somo demo

test: $(READY) page
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) page
	MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824 $(BIN)/python -m flows.bench $(PART)

stack: $(READY)
	$(BIN)/somo stack

# The web page beside the data; built where there is Node.js, and carried by the wheel.
viewer: $(VIEWER)/dist/index.html

$(VIEWER)/dist/index.html: $(wildcard $(VIEWER)/*.json $(VIEWER)/*.js $(VIEWER)/index.html $(VIEWER)/src/*)
	cd $(VIEWER) && npm ci --no-audit --no-fund --loglevel=error && npm run build

page:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory viewer; \
	else echo "no Node.js here: the web page is left out; install Node.js 20 and run make viewer"; fi

# torch alone and by exact version first: together with ranges pip fetches gigabytes of CUDA packages.
$(READY): requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install -q --no-deps -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	touch $(READY)

# Write down what .venv holds, after trying a new version in it: .venv/bin/pip install PACKAGE==VERSION
lock: $(READY)
	$(BIN)/pip check
	$(BIN)/pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//' > requirements.lock

# What the image installs, as CycloneDX.
sbom: $(READY)
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o sbom.json

# Known vulnerabilities of those packages; asks a service on the network, and fails where that cannot be asked.
audit: $(READY)
	$(BIN)/pip-audit -r requirements.lock --no-deps --disable-pip --strict --progress-spinner off
