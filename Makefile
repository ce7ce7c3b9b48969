PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test soak bench docs format lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/run ## see what Stowfast does, in a minute
	@$(BIN)/stowfast demo

# The docs site is part of the proof: it costs one second, and eight more to install once.
test: .venv/test docs ## prove it: docs, lint, format, types, then every test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m tests.services.s3 install
	$(BIN)/pytest -n 2

soak: .venv/test ## a million histories of the object-storage protocol, and 200,000 of tasks over it, simulated
	$(BIN)/python -m tests.simulator --seeds 1000000 --jobs 2
	$(BIN)/python -m tests.simulator --seeds 200000 --jobs 2 --tasks

bench: .venv/test ## measure it
	$(BIN)/python -m bench

docs: .venv/docs ## build the docs site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: .venv/test ## put imports and layout in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/lock ## renew requirements/*.txt from pyproject.toml
	@for group in run test docs lock; do \
		UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --no-config \
			--universal --python-version 3.11 --extra cli --extra s3 --group $$group \
			--generate-hashes --no-emit-index-url --no-emit-find-links --output-file requirements/$$group.txt \
			|| exit; \
	done

clean: ## remove everything that make made
	rm -rf .venv site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A file .venv/<group> says when requirements/<group>.txt was last installed.
.venv/%: requirements/%.txt pyproject.toml | .venv/pyvenv.cfg
	$(BIN)/pip install --quiet --only-binary :all: --require-hashes --requirement $<
	$(BIN)/pip install --quiet --no-deps --no-index --no-build-isolation --editable .
	@touch $@

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Stowfast needs Python 3.11 or newer: make PYTHON=python3.13 ...' >&2; exit 1; }
	$(PYTHON) -m venv .venv
