# Streamloom. `make` lists what can be done; every target sets up what it needs.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
UV := $(shell command -v uv 2>/dev/null)
# The newest supported Python that really runs (a version manager's shim may exist without its version).
PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
ARGS ?=
# Inside a function's arguments a comma must be spelled so.
COMMA := ,

.PHONY: help setup demo test lint types unit http browser faults faults-embedded fmt lock simulate run services services-env services-down secrets up down clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## make the virtual environment (uv when present, else venv and pip)

$(VENV)/.ready: requirements/dev.txt
	@test -n "$(UV)$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; on Debian: apt-get install python3 python3-venv"; exit 1; }
ifdef UV
	@test -x $(PY) || uv venv --quiet --python '$(or $(PYTHON),>=3.11$(COMMA)<3.13)' $(VENV)
	uv pip install --quiet --python $(PY) --require-hashes -r requirements/dev.txt
else
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
endif
	@touch $@

demo: setup ## run everything on this machine, e.g. make demo ARGS="--port 8123 --source simulated"
	@exec $(PY) manage.py demo $(ARGS)

test: lint types unit http browser ## every check and every test

lint: setup ## style, and who may import whom
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports

types: setup ## strict types of the pure core
	$(VENV)/bin/mypy

unit: setup ## the tests without a browser
	$(PY) -m pytest -m "not browser and not faults" $(ARGS)

http: setup ## the store's tests again, with ClickHouse asked over HTTP as in services mode
	STREAMLOOM_TEST_CLICKHOUSE=server $(PY) -m pytest analytics/tests/clickhouse/test_client.py \
		analytics/tests/clickhouse/test_migrate.py analytics/tests/candles analytics/tests/sink/test_load.py

faults: setup ## the fault matrix on real servers (docs/faults.md), e.g. make faults ARGS="--rows 4,13 --seed 7"
	@exec $(PY) manage.py faults $(ARGS)

faults-embedded: setup ## kills, cuts and freezes of the demo, for minutes; FAULT_SEED=... replays a failure
	$(PY) -m pytest -m faults $(ARGS)

browser: setup ## the tests in a real browser (Chromium); a process of its own, because Playwright keeps the event loop
	$(PY) -m pytest -m browser $(ARGS)

fmt: setup ## format the code
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .

lock: ## write the hashed requirements/*.txt anew (needs uv)
	cd requirements && for set in base embedded dev; do \
		uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --no-emit-index-url --upgrade -q $$set.in -o $$set.txt; done

simulate: setup ## run the simulated exchange alone, e.g. make simulate ARGS="--help"
	@exec $(PY) manage.py simulate_exchange $(ARGS)

run: setup ## run every role as its own process on real servers (STREAMLOOM_MODE=services), e.g. ARGS="--processors 2"
	@exec $(PY) manage.py run $(ARGS)

services: setup ## start Kafka, Postgres, Redis and the ClickHouse engine as processes of this machine; say what is missing
	@$(PY) -m streamloom.services up $(ARGS)

services-env: setup ## print the environment that uses them: eval "$(make -s services-env)"
	@$(PY) -m streamloom.services env

services-down: setup ## end exactly what `make services` started; the data in var/services stays
	@$(PY) -m streamloom.services down $(ARGS)

secrets: ## make the passwords of compose/ that do not exist yet
	@./compose/make-secrets

up: secrets ## with Docker: build the image, start the servers and every role, wait until they are healthy
	@docker compose version >/dev/null 2>&1 || { echo "docker compose is missing (without Docker: make services, or make demo)"; exit 1; }
	docker compose --file compose/compose.yaml up --build --detach --wait $(ARGS)
	@echo "Streamloom is on http://127.0.0.1:$${STREAMLOOM_PORT:-8000}/"

down: ## with Docker: end what `make up` started; the data stays (ARGS=--volumes forgets it)
	docker compose --file compose/compose.yaml down $(ARGS)

clean: ## remove the virtual environment and the caches; the data in var/ stays
	rm -rf $(VENV) .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
