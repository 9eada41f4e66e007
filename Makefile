# make search ARGS="--data DIR --trials 12"    run a search
# make test                                    lint, types and all tests that need no GPU
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: search test lint clean

search: .venv/installed
	$(BIN)/python -m tuner.search $(ARGS)

test: .venv/installed-for-tests lint
	$(BIN)/python -m pytest -m "not gpu" $(ARGS)

lint: .venv/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# torch comes first, at the pinned version: whatever asks for it later is satisfied, and no other build is fetched.
.venv/installed: constraints.txt setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/installed-for-tests: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
