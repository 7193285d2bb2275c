# What a contributor types. Needs Python 3.11 or later, make and git; all else goes into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-fast check format bench lock clean

# The first Python on the path that is new enough; `make PYTHON=/path/to/python setup` chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Where Python may not keep what it compiled, each test process and each command that it starts compiles anew.
unexport PYTHONDONTWRITEBYTECODE
# Test processes side by side; the slow tests never share the machine.
WORKERS ?= 2
, := ,

help:
	@echo "make setup      make .venv with everything needed to work on Petla"
	@echo "make demo       watch the whole loop on real flights; installs no development tools"
	@echo "make test       all tests and the examples in docstrings"
	@echo "make test-fast  the same without the tests marked slow"
	@echo "make check      style, types, room order, house rules"
	@echo "make format     let ruff repair what it can"
	@echo "make bench      every benchmark, each beside its peer or ceiling"
	@echo "make lock       resolve constraints.txt anew"
	@echo "make clean      remove caches and builds; .venv stays"

# --- setting up ------------------------------------------------------------------------------

# Everything that is installed comes in the versions of constraints.txt. uv takes seconds; where it
# cannot be had or cannot reach its registry, pip does the same in about a minute.
define install
@$(BIN)/python -m pip install -q -c constraints.txt uv || echo "uv is not to be had; going on with pip"
@$(BIN)/python -m uv pip install -q --compile-bytecode --python $(BIN)/python -c constraints.txt -b constraints.txt -e '.[$(1)]' \
	|| { echo "uv did not succeed; trying pip"; $(BIN)/python -m pip install -q -c constraints.txt -e '.[$(1)]'; }
@$(BIN)/python -m compileall -q src
endef

DEV := $(VENV)/.installed-dev
TRAIN := $(VENV)/.installed-train

setup: $(DEV)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed and was not found"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,train$(,)postgres$(,)images$(,)grpc$(,)pandera$(,)dev)
	@touch $(TRAIN) $@
	@echo "$(VENV) is ready; next: make test"

$(TRAIN): pyproject.toml constraints.txt | $(BIN)/python
	$(call install,train)
	@touch $@

# --- using it --------------------------------------------------------------------------------

demo: $(TRAIN)
	$(BIN)/petla demo --yes

test: test-fast
	@# Exit 5: no test is marked slow.
	$(BIN)/python -m pytest -q -m slow || [ $$? -eq 5 ]

test-fast: $(DEV)
	$(BIN)/python -m pytest -q -m "not slow" -n $(WORKERS) --dist loadfile

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV)
	@set -e; for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

# --- keeping it ------------------------------------------------------------------------------

# The versions that are pinned already stay unless UPGRADE=--upgrade is given.
lock: | $(BIN)/python
	@$(BIN)/python -m pip install -q -c constraints.txt uv
	$(BIN)/python -m uv pip compile pyproject.toml --universal --python-version 3.11 $(UPGRADE) \
		--extra train --extra postgres --extra images --extra grpc --extra pandera --extra dev --group examples --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" -q -o constraints.txt

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
