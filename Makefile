# Every target makes what it needs: Python 3.11+ and make are enough.
PYTHON ?= python3
BIN := .venv/bin
# The stamps say which extra is installed; they are older than pyproject.toml once it changes.
TEST := .venv/.installed-test
DEV := .venv/.installed-dev

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help quickstart test test-all check fix migration wheel bench clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(TEST)  ## Run notebooks/quickstart.ipynb in a fresh folder and show its job table
	$(BIN)/python notebooks/run_quickstart.py

test: $(DEV)  ## Run all tests here: unit, integration, notebooks, browser
	$(BIN)/python -m pytest

test-all: $(DEV)  ## Run every lane: Pythons, Kaggle's pins, the other dialect, another time zone
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

bench: $(DEV)  ## Run the benchmarks and print their numbers
	$(BIN)/python tests/benchmarks/run.py

clean:  ## Remove what these commands made, the environments too; data/ stays
	rm -rf .venv .nox dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find foregsyte_kaggle migrations notebooks tests -name __pycache__ -prune -exec rm -rf {} +

.venv/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "foregsyte_kaggle needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@
