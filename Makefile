# Targets for people and for CI; `make help` lists them. Demo, test and lint install what they need by themselves.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The demo's knobs, for instance `make demo OUT=out SPEED=100 WORKERS=3`. Empty ones keep the command's defaults.
OUT :=
DATA :=
SPEED :=
WORKERS :=
# More arguments for pytest or the benchmarks, for instance `make test ARGS="-m 'not e2e'"`.
ARGS :=

.PHONY: help demo loop test bench lint format clean distclean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

demo: $(STAMP) ## Replay real market data to predictions; OUT=dir DATA=path SPEED=0|1|N WORKERS=n
	@$(BIN)/cs3g demo $(if $(OUT),--out "$(OUT)") $(if $(DATA),--data "$(DATA)") $(if $(SPEED),--speed "$(SPEED)") $(if $(WORKERS),--workers "$(WORKERS)")

loop: $(STAMP) ## Replay with a student that goes stale, and retrain it; OUT=dir (a new one) DATA=path WORKERS=n
	@$(BIN)/cs3g loop $(if $(OUT),--out "$(OUT)") $(if $(DATA),--data "$(DATA)") $(if $(WORKERS),--workers "$(WORKERS)")

test: $(STAMP) ## Run all tests; ARGS="..." goes to pytest, CS3G_BOOTSTRAP_SERVERS names a broker
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

bench: $(STAMP) ## Measure ours beside the peers, which get .venv-bench; ARGS="--quick", ARGS="stream latency"
	@$(BIN)/python -m benchmarks $(ARGS)

lint: $(STAMP) ## Check style, types and who imports whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(STAMP) ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## Remove caches, builds and the default outputs
	@rm -rf build dist demo-out loop-out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path './$(VENV)' -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean ## The same, and the virtual environment
	@rm -rf $(VENV)

# Setuptools goes in first and builds without isolation, so that a reinstall works without a network.
$(STAMP): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON): not found. cs3g needs Python 3.11 to 3.13: make $(or $(MAKECMDGOALS),test) PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "$(PYTHON) is Python %d.%d; cs3g needs 3.11 to 3.13. Name another one: make $(or $(MAKECMDGOALS),test) PYTHON=python3.12" % v)'
	@echo "Installing into $(VENV); the first time this takes some minutes."
	@test -x $(BIN)/pip || "$(PYTHON)" -m venv --clear $(VENV) || { echo "$(PYTHON) -m venv failed (on Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt setuptools
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@
