# Every target makes its own environment first, from requirements.lock.
# A machine without the CPU build of PyTorch on its index: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
READY := .venv/.ready

export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint bench stack lock
.DEFAULT_GOAL := demo

demo: $(READY)
	$(BIN)/somo demo

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m flows.bench

stack: $(READY)
	$(BIN)/somo stack

# torch alone and by exact version first: together with ranges pip fetches gigabytes of CUDA packages.
$(READY): requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' requirements.lock)"
	$(BIN)/pip install -q --no-deps -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	touch $(READY)

# New versions: a fresh environment from the ranges of pyproject.toml, then what it holds.
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install -q "$$(grep '^torch==' requirements.lock)"
	.venv-lock/bin/pip install -q -e '.[s3,kubernetes,slurm,dev,bench]'
	.venv-lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock
