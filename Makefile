# What a developer and a new user need. Everything installs what it needs and says so.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
BIN := .venv/bin
B ?= issue

.PHONY: help
help: ## Shows this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/.made: requirements.lock pyproject.toml
	@echo "-- Python: a virtual environment with the locked dependencies, in .venv"
	@test -e /usr/lib/python3*/ensurepip/__init__.py || { echo "-- apt: python3-venv"; apt-get update -qq; apt-get install -qq -y --no-install-recommends python3-venv >/dev/null; }
	@test -x .venv/bin/python || /usr/bin/python3 -m venv .venv
	@.venv/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@.venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: .venv/.made ## Installs the dependencies: Python packages, and what the lab's hosts are made of
	@/usr/bin/python3 -m tests.lab install

.PHONY: demo
demo: install ## Raises a fleet, lets its certificates run out, and shows them being renewed (ONCE=1: two cycles, then ends)
	@$(BIN)/python -m tests.demo $(if $(ONCE),--once)

.PHONY: check
check: .venv/.made ## Every static check: ruff, mypy, import-linter, yamllint, ansible-lint, ansible-test sanity
	@tests/check

.PHONY: test
test: install check ## Every check and every test
	@/usr/bin/python3 -m tests.lab install --layers
	@$(BIN)/pytest

.PHONY: bench
bench: install ## Measures one thing against another in one run, as a ratio (B=issue, B=scan, B=probe, B=vhosts, B=api)
	@$(BIN)/python -m tests.bench.$(B)

.PHONY: fuzz
fuzz: .venv/.made ## Reads 100,000 mutated certificates and 50,000 mutated configurations (F="--seed 1f2e" brings a run back)
	@PYTHONPATH=playbooks/collections $(BIN)/python -m tests.fuzz $(F)

.PHONY: torture
torture: install ## Every fault that we know at every step, and prints a scoreboard (T="--faults --seed 1f2e" chooses)
	@PYTHONPATH=playbooks/collections $(BIN)/python -m tests.torture $(T)
	@$(if $(T),,$(BIN)/pytest -m long)

.PHONY: simulate
simulate: .venv/.made ## Plays years of 100,000 certificates through the renewal policy, writes build/simulation.html (S="year --seed 1f2e")
	@$(BIN)/python -m tests.simulate $(S)

.PHONY: lock
lock: ## Resolves the dependencies anew into requirements.lock
	@uv pip compile pyproject.toml --group dev --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 -o requirements.lock
