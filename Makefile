# Every target makes what it needs: Python 3.11+ and make are enough.
PYTHON ?= python3
BIN := .venv/bin
# The stamps say which extra is installed; they are older than pyproject.toml once it changes.
TEST := .venv/.installed-test
DEV := .venv/.installed-dev
# What the benchmarks compare with has an environment of its own.
PEER_BIN := .bench-venv/bin
PEERS := joblib huey optuna datachain

# uv compiles nothing, so that every process would, where images set this.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help quickstart test test-all check fix migration wheel kaggle-wheels bench bench-peers clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(TEST)  ## Run notebooks/quickstart.ipynb in a fresh folder and show its job table
	$(BIN)/python notebooks/run_quickstart.py

test: $(DEV)  ## Run all tests here: unit, integration, notebooks, browser; make test args=tests/unit runs a part
	$(BIN)/python -m pytest $(args)

test-all: $(DEV)  ## Run every lane: Pythons, Kaggle's pins, the other dialect, another time zone, Ultralytics
	$(BIN)/nox -f tests/noxfile.py

check: $(DEV)  ## Lint, formatting and types; changes nothing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fix: $(DEV)  ## Fix what lint and formatting can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

migration: $(DEV)  ## Write a new migration: make migration name=add_x
	@test -n "$(name)" || { echo "say what it does: make migration name=add_x" >&2; exit 1; }
	$(BIN)/alembic revision -m "$(name)"
	$(BIN)/ruff format --quiet migrations/versions

wheel: $(DEV)  ## Build dist/*.tar.gz, and from it dist/*.whl
	$(BIN)/python -m build

kaggle-wheels: $(DEV)  ## Build dist/kaggle-wheels/, to upload as a dataset that installs without internet
	$(BIN)/python tests/kaggle/make_wheels.py

bench: $(DEV)  ## Measure all beside its floor: 4 minutes, more with the extra vision; make bench args=--full for the table's sizes
	$(BIN)/python -m tests.benchmarks $(args)

bench-peers: $(PEER_BIN)/.installed  ## Measure what people use instead, with a crash half way and items that raise
	$(PEER_BIN)/python -m tests.benchmarks.peers $(args)

clean:  ## Remove what these commands made, the environments too; data/ stays
	rm -rf .venv .bench-venv .nox dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find foregsyte_kaggle migrations notebooks tests -name __pycache__ -prune -exec rm -rf {} +

# uv takes a tenth of pip's time; pip does it where uv cannot reach the index that pip is told of. The pip of
# a new environment takes three times as long as the newest one.
define install
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade pip
	$(1)/bin/python -m pip install --quiet --only-binary :all: uv && \
	  $(1)/bin/uv pip install --quiet --python $(1)/bin/python $(2) || \
	  { echo "uv cannot install this here, so pip does, which takes some minutes" >&2; \
	    $(1)/bin/python -m pip install --quiet $(2); }
endef

.venv/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "foregsyte_kaggle needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(call install,.venv,--editable '.[$*]')
	@touch $@

$(PEER_BIN)/.installed: pyproject.toml
	$(call install,.bench-venv,--editable .)
	@for peer in $(PEERS); do $(PEER_BIN)/python -m pip install --quiet $$peer \
	  || echo "$$peer cannot be installed here, so bench-peers has no figures of it" >&2; done
	@touch $@
