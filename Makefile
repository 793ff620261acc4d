# Every target sets up what it needs; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run demo test check bench fuzz peers docs clean setup-run setup-dev setup-peers
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
PYTHON := $(BIN)/python
PYTEST := $(PYTHON) -m pytest
WORKERS ?= 2
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup-run ## the service: mailbearer serve (ARGS="--data DIR")
	@$(BIN)/mailbearer serve $(ARGS)

demo: setup-run ## the whole job on the practice provider, in ten seconds
	@$(BIN)/mailbearer demo $(ARGS)

test: setup-peers ## every test, the ones against real servers included (ARGS="-k name")
	@$(PYTEST) -n $(WORKERS) --dist loadgroup -rs $(ARGS)

peers: setup-peers ## only the tests against real servers
	@$(PYTEST) tests/peers -rs $(ARGS)

check: setup-dev ## format, lint, types, imports, house rules
	@tools/check

fuzz: setup-dev ## every property with 20,000 examples, and 200 times kill -9 (ARGS="tests/protocol")
	@$(PYTEST) -n $(WORKERS) --hypothesis-profile=fuzz -m "hypothesis and not peers" --timeout=7200 $(ARGS)
	@$(PYTHON) -m tests.gateway.kill 200

bench: setup-peers ## the figures, measured on this machine
	@$(PYTHON) -m bench $(ARGS)

docs: setup-dev ## the generated pages of docs/
	@$(PYTHON) tools/make_docs.py

clean: ## everything that the other targets made
	@rm -rf .venv .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage* build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup-run:
	@tools/setup run
setup-dev:
	@tools/setup dev
setup-peers:
	@tools/setup peers
