# The commands for developers; `make` without a target lists them.
# They need Python 3.11 or newer with venv; PYTHON=python3.12 selects another interpreter.

PYTHON ?= python3
VENV ?= .venv
UV ?= uv==0.13.8
TESTS ?= tests
SCREENSHOTS ?= screenshots

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --require-virtualenv install --quiet
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock"

NPM := $(PY) dashboard/npm.py
NODE_MODULES := dashboard/node_modules/.package-lock.json
BUILT := src/ironflow/dashboard/built/index.html

VSCODE := editors/vscode
VSCODE_NPM := $(NPM) --prefix $(CURDIR)/$(VSCODE)
VSCODE_MODULES := $(VSCODE)/node_modules/.package-lock.json
VSIX := $(VSCODE)/dist/ironflow.vsix

.DEFAULT_GOAL := help
.PHONY: help demo serve dashboard try-dashboard dashboard-check screenshots pictures vscode test soak services services-stop otel-collector check style layers types generated dialects format bench lock clean

help:
	@echo "make demo    install, send 240 orders through a worker that is killed half-way, count the executed steps"
	@echo "make serve   a server for development on port 9123, on the file ironflow.db"
	@echo "make dashboard  build the dashboard that the server shows; make demo and make serve do it too"
	@echo "make screenshots  every page of it, dark and light, wide and narrow, as PNG files"
	@echo "make pictures  the pictures of README.md and of the guide \"Debugging\", made from real runs, in docs/images"
	@echo "make vscode  check the extension for VS Code, test it and package it as editors/vscode/dist/ironflow.vsix"
	@echo "make test    all tests, on SQLite and, if there is one, PostgreSQL; TESTS=tests/kv for some of them"
	@echo "make soak    two minutes of mixed load with restarts: flat descriptors, memory and threads; SOAK_MINUTES=30 for more"
	@echo "make services  start PostgreSQL and NATS for make test, install what is missing; make services-stop ends them"
	@echo "make otel-collector  build a collector of OpenTelemetry, for the tests that send to a real one"
	@echo "make check   style, layers, types, generated, dialects, dashboard-check; each is also a target of its own"
	@echo "make format  format the code"
	@echo "make bench   all benchmarks, compared with the limits of this machine; BENCH=kv for one"
	@echo "make lock    resolve the dependency versions again; UPGRADE=--upgrade for the newest"
	@echo "make clean   remove build results"

demo: $(VENV)/.runs try-dashboard
	@$(PY) -m ironflow.cli.demo

serve: $(VENV)/.runs try-dashboard
	@$(PY) -m ironflow serve --dev --db ironflow.db

# The build needs Node: the one of this machine, else the one of PyPI.
dashboard: $(BUILT)
	@:

# Without its dashboard a server does all it does; its page explains how to build one.
try-dashboard: $(VENV)/.python
	@$(MAKE) --no-print-directory dashboard || echo "The dashboard could not be built; the server runs without it." >&2

# The types of the API are made anew: they follow from the contracts.
dashboard-check: $(VENV)/.runs $(NODE_MODULES)
	$(PY) -m ironflow.server.openapi > dashboard/src/api/openapi.json
	$(NPM) run --silent types
	$(NPM) run --silent check
	$(NPM) run --silent test

# The pages as people see them, in SCREENSHOTS, to be looked at.
screenshots: $(VENV)/.tests dashboard
	@$(PY) -m tests.dashboard.screenshots $(SCREENSHOTS)

# The pictures of README.md and of the guide "Debugging", from real runs, to be looked at.
pictures: $(VENV)/.tests dashboard
	@$(PY) -m tests.dashboard.pictures docs/images
	@$(PY) -m tests.debugging.pictures docs/images

# To install it: code --install-extension editors/vscode/dist/ironflow.vsix
vscode: $(VSIX)
	@echo "$(VSIX)"

test: $(VENV)/.tests
	@$(PY) -m pytest -n 2 --dist worksteal $(TESTS)

soak: $(VENV)/.tests
	@$(PY) -m tests.soak.run

services: $(VENV)/.python
	@$(PY) -m tests.support.local_services start

services-stop: $(VENV)/.python
	@$(PY) -m tests.support.local_services stop

# From Go modules, in about ten minutes; tests/server/test_real_collector.py sends to it.
otel-collector:
	cd tests/support/otel_collector && go build -o $(CURDIR)/.services/otel-collector .

check: style layers types generated dialects dashboard-check

style: $(VENV)/.tests
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

layers: $(VENV)/.tests
	$(VENV)/bin/lint-imports --no-logo

types: $(VENV)/.tests
	$(VENV)/bin/basedpyright
	for each in examples/*/app.py tests/sdk/durable/typed.py; do $(VENV)/bin/mypy --strict $$each || exit 1; done

generated: $(VENV)/.tests
	$(PY) -m ironflow.sdk.client.generate_sync --check
	$(PY) -m ironflow.cli.reference --check
	$(PY) -m ironflow.server.reference --check
	$(PY) -m tests.protocol.protofiles --check

# Every RPC answers in both dialects of JSON, streams included.
dialects: $(VENV)/.tests
	$(PY) -m pytest -q -n 2 tests/wire/test_stream_dialects.py \
	  tests/wire/test_dialects.py::test_every_method_answers_in_both_dialects_what_it_answers_in_binary

format: $(VENV)/.tests
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: $(VENV)/.tests
	@$(PY) -m benchmarks $(BENCH)

# The newest versions that pyproject.toml permits, with hashes for every platform and no download address.
lock: $(VENV)/.python
	$(PIP) $(UV)
	$(COMPILE) $(UPGRADE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) $(UPGRADE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) $(UPGRADE) --group pyproject.toml:dashboard -o dashboard/requirements.lock

clean:
	rm -rf $(VENV) dist $(VSCODE)/dist $(VSCODE)/node_modules $(VSCODE)/LICENSE dashboard/node_modules src/ironflow/dashboard/built .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(NODE_MODULES): dashboard/package-lock.json dashboard/.npmrc | $(VENV)/.python
	@echo "installing the tools of the dashboard into dashboard/node_modules" >&2
	@$(NPM) ci --silent
	@touch $@

# Built anew when a source changed. Vite removes types unread, so the generated ones are not needed here.
$(BUILT): $(NODE_MODULES) dashboard/index.html $(wildcard dashboard/*.ts dashboard/*.js dashboard/package.json) \
  $(shell find dashboard/src dashboard/public -type f -not -path 'dashboard/src/api/*' -o -name client.ts)
	@echo "building the dashboard" >&2
	@$(NPM) run --silent build

$(VSCODE_MODULES): $(VSCODE)/package-lock.json $(VSCODE)/.npmrc | $(VENV)/.python
	@echo "installing the tools of the extension into $(VSCODE)/node_modules" >&2
	@$(VSCODE_NPM) ci --silent
	@touch $@

$(VSIX): $(VSCODE_MODULES) LICENSE $(wildcard $(VSCODE)/*.json $(VSCODE)/*.svg $(VSCODE)/*.md $(VSCODE)/src/* $(VSCODE)/test/*)
	@rm -rf $(VSCODE)/dist
	@$(VSCODE_NPM) run --silent build
	@$(VSCODE_NPM) run --silent test
	@cp LICENSE $(VSCODE)/LICENSE
	@$(VSCODE_NPM) run --silent package

# Stamp files: a second `make` does not install again.

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Ironflow needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Select another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) cannot create virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runs: requirements.lock pyproject.toml src/ironflow/base/version.py | $(VENV)/.python
	@echo "installing Ironflow into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.tests: requirements-dev.lock $(VENV)/.runs
	@echo "installing the tools of make test and make check into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
