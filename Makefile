# Every target makes the environment it needs in .venv (nothing but python3 and make on the machine) and reuses it.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := extauthz tests

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint types bench generate clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# uv makes the environment in seconds; where it cannot be had, pip does the same in a minute.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "extauthz needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version). Name another one: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { echo "cannot make a virtual environment: install your system's venv module (Debian: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8' 2>/dev/null || $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@if [ -x $(BIN)/uv ]; then VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet -c constraints.txt --group dev -e '.[demo]'; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e '.[demo]'; fi
	@touch $@

demo: $(STAMP)  ## the whole system on loopback, narrated (ARGS=--once walks through and exits)
	@$(BIN)/extauthz demo $(ARGS)

test: lint types $(STAMP)  ## lint, types and the whole test suite (ARGS are pytest's)
	@$(BIN)/python -m pytest -n auto --dist loadgroup -m 'not long' $(ARGS)

test-long: $(STAMP)  ## long forms: new random cases, fuzzing, large differential runs, soak
	@EXTAUTHZ_SEARCH=new $(BIN)/python -m pytest -m 'not long' -n auto --dist loadgroup tests/unit tests/property
	@$(BIN)/python -m pytest -m long $(ARGS)

lint: $(STAMP)  ## ruff, import contracts, spelling
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/lint-imports
	@$(BIN)/codespell extauthz docs README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md

types: $(STAMP)  ## mypy strict and pyright
	@$(BIN)/mypy
	@$(BIN)/pyright --warnings

bench: $(STAMP)  ## figures of the README, beside a no-op service in the same run
	@$(BIN)/python -m tests.bench $(ARGS)

generate: $(STAMP)  ## regenerate extauthz/wire from proto/
	@$(BIN)/python proto/generate.py

clean:  ## remove the environment and caches
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
