# Everything a developer does, one word each. `make` alone lists them.
# Needs Python 3.11 or newer with venv; say which with PYTHON=python3.12.

PYTHON ?= python3
VENV ?= .venv
UV ?= uv==0.13.8
TESTS ?= tests

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --require-virtualenv install --quiet
COMPILE := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo serve test check style floors types generated format bench lock clean

help:
	@echo "make demo    install, run 240 orders through a worker that is killed half-way, show what became of them"
	@echo "make serve   a server for development on port 9123, on the file ironflow.db"
	@echo "make test    all tests, on SQLite and on PostgreSQL where there is one; TESTS=tests/kv for some of them"
	@echo "make check   style, floors, types, generated: each is a word of its own too"
	@echo "make format  put the code into house style"
	@echo "make bench   all benchmarks beside the raw limits of this machine; BENCH=kv for one"
	@echo "make lock    choose dependency versions afresh; UPGRADE=--upgrade for the newest"
	@echo "make clean   remove what was built"

demo: $(VENV)/.runs
	@$(PY) -m ironflow.cli.demo

serve: $(VENV)/.runs
	@$(PY) -m ironflow serve --dev --db ironflow.db

test: $(VENV)/.tests
	@$(PY) -m pytest -n 2 --dist worksteal $(TESTS)

check: style floors types generated

style: $(VENV)/.tests
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

floors: $(VENV)/.tests
	$(VENV)/bin/lint-imports --no-logo

types: $(VENV)/.tests
	$(VENV)/bin/basedpyright

generated: $(VENV)/.tests
	$(PY) -m ironflow.sdk.generate_sync --check
	$(PY) -m ironflow.cli.reference --check
	$(PY) -m ironflow.server.reference --check
	$(PY) -m tests.protocol.protofiles --check

format: $(VENV)/.tests
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: $(VENV)/.tests
	@$(PY) -m benchmarks $(BENCH)

# The newest versions that pyproject.toml allows, with hashes for every platform and no address.
lock: $(VENV)/.python
	$(PIP) $(UV)
	$(COMPILE) $(UPGRADE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) $(UPGRADE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than what it was made from: the second `make` starts at once.

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Ironflow needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
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
