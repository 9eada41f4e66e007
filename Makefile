# make search ARGS="--data DIR --trials 12"    run a search
# make check                                   lint, types and the tests that start no cluster and take about a second at most
# make test                                    the above and every other test but those that are long by nature
# make endurance                               those: before a release
# make bench ARGS="--data DIR"                 benchmarks at the size of two cores; their figures go to build/bench
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

TESTS := $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: search check test endurance lint bench clean

search: .venv/installed
	$(BIN)/python -m tuner.search $(ARGS)

check: lint
	$(TESTS) -m "not gpu and not slow and not cluster and not endurance" $(ARGS)

test: lint
	$(TESTS) -m "not endurance" --durations 25 $(ARGS)

endurance: .venv/installed-for-tests
	$(TESTS) -m endurance --durations 25 $(ARGS)

# One after the other, so that none disturbs another; ARGS go to those that train on data of a user.
bench: .venv/installed-for-benchmarks
	mkdir -p build/bench
	$(BIN)/python -m benchmarks.smart_step --json build/bench/smart_step.json $(ARGS)
	$(BIN)/python -m benchmarks.baseline --json build/bench/baseline.json $(ARGS)
	$(BIN)/python -m benchmarks.evaluation --json build/bench/evaluation.json $(ARGS)
	$(BIN)/python -m benchmarks.frozen --json build/bench/frozen.json $(ARGS)
	$(BIN)/python -m benchmarks.start --json build/bench/start.json $(ARGS)
	$(BIN)/python -m benchmarks.gaps --json build/bench/gaps.json $(ARGS)
	$(BIN)/python -m benchmarks.whole --target 0.55 --trials 4 --repeats 1 --json build/bench/whole.json $(ARGS)
	$(BIN)/python -m benchmarks.memory --json build/bench/memory.json
	if nvidia-smi; then $(BIN)/python -m benchmarks.gpu --json build/bench/gpu.json; fi
	if nvidia-smi; then $(BIN)/python -m benchmarks.sharing --json build/bench/sharing.json; fi

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

# smart-pytorch asks for data-science-types, stubs that it does not use and that would hide numpy's from mypy.
.venv/installed-for-benchmarks: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt psutil
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps smart-pytorch
	touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
