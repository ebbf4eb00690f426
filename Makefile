# Everything goes through here, on a machine of yours and in CI alike. `make demo` and `make test` need nothing before.
PYTHON := .venv/bin/python
# Fast tests first, those with real Envoys last.
TESTS := $(sort $(filter-out tests/e2e/ tests/__pycache__/,$(wildcard tests/*/))) tests/e2e

.PHONY: help setup demo test check unit e2e bench soak docs lock

help:
	@echo "make demo    the Bookinfo mesh with traffic and its live graph; Ctrl-C stops it"
	@echo "make test    all checks and all tests, the end-to-end ones with real Envoys too"
	@echo "make setup   only the virtual environment in .venv and the Debian packages"
	@echo "make check   format, lint, types, import contracts"
	@echo "make unit    the fast tests; make e2e: those with real Envoys"
	@echo "make bench   the benchmarks; make soak: the scenarios under load at full size (an hour)"
	@echo "make docs    generate the reference pages; make lock: pin the dependencies anew"

setup:
	@scripts/setup.sh test

demo:
	@scripts/setup.sh run
	@.venv/bin/argosy demo

check: setup
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo --no-cache

unit: setup
	$(PYTHON) -m pytest -q $(filter-out tests/e2e,$(TESTS))

e2e: setup
	$(PYTHON) -m pytest -q tests/e2e

# One run of pytest, so that its closing line counts everything.
test: check
	$(PYTHON) -m pytest -q $(TESTS)

bench: setup
	$(PYTHON) -m bench

# The scenarios of tests/e2e at full size: requests a second, replicas, restarts, changes.
SIZES ?= 500,10,20,1000
soak: setup
	ARGOSY_SOAK=$(SIZES) $(PYTHON) -m pytest -q -s tests/e2e/test_scenarios.py tests/e2e/test_no_loss.py

docs: setup
	$(PYTHON) scripts/generate_docs.py
	$(PYTHON) -m argosy.cli.reference > docs/reference/cli.md

lock: setup
	CUSTOM_COMPILE_COMMAND="make lock" .venv/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra dev --build-deps-for editable \
	  --output-file requirements.lock pyproject.toml
