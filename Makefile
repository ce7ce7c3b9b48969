PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help
PLACES ?= sqlite,postgres
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(2 * (os.cpu_count() or 2) + 1, 12))')
PART ?= 1
MAKEFLAGS += --no-print-directory
unexport PYTHONDONTWRITEBYTECODE # else each worker, and each process that a test starts, compiles all anew

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo check test test-frameworks soak lint bench docs format lock lock-frameworks sbom clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/run ## see what Stowfast does, in a minute
	@$(BIN)/stowfast demo

check: .venv/test lint ## lint, types and the quick tests, without a server: before each commit
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow and not service"

# The docs site is part of the proof: it costs ten seconds, and some more to install once. Two workers for each core and
# one more, as tests wait longer than they work: WORKERS=2 on a machine that is busy.
test: .venv/test docs lint ## prove it: the docs site, lint, types and all tests but the soak
	$(BIN)/python -m tests.services.s3 install
	$(BIN)/python -m tests.services.postgres
	$(BIN)/python -m tests.services.chromium
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not soak"

# HISTORIES=1000000 adds so many simulated histories, and a fifth as many of tasks. PART=0.25 tries a quarter.
soak: .venv/test ## the long tests alone: many kills, storms and histories; HISTORIES=1000000 adds more of these
	$(BIN)/python -m tests.services.s3 install
	$(BIN)/python -m tests.services.postgres
	STOWFAST_SOAK_PART=$(PART) $(BIN)/pytest -n 2 --dist worksteal -m soak
ifdef HISTORIES
	$(BIN)/python -m tests.simulator --jobs 2 --seeds $(HISTORIES)
	$(BIN)/python -m tests.simulator --jobs 2 --seeds $$(( $(HISTORIES) / 5 )) --tasks
endif

# PLACES=all tests the adapters on memory and S3, too. FRAMEWORKS="langgraph strands" tests these alone.
test-frameworks: .venv/test ## the adapters, and the frameworks' own suites on them, each in an environment of its own
	$(BIN)/python -m tests.frameworks --places $(PLACES) $(FRAMEWORKS)

lint: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/test ## measure it
	$(BIN)/python -m bench

docs: .venv/docs ## build the docs site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/test ## put imports and layout in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/lock ## renew requirements/*.txt from pyproject.toml
	@for group in run test docs lock; do \
		UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --quiet --upgrade --no-config \
			--universal --python-version 3.11 --extra cli --extra s3 --extra postgres --extra view --group $$group \
			--generate-hashes --no-emit-index-url --no-emit-find-links --output-file requirements/$$group.txt \
			|| exit; \
	done

# FRAMEWORKS=langgraph renews this one alone.
lock-frameworks: .venv/lock ## renew requirements/frameworks/*.txt
	@for name in $(or $(FRAMEWORKS),$(notdir $(basename $(wildcard requirements/frameworks/*.in)))); do \
		UV_CUSTOM_COMPILE_COMMAND="make lock-frameworks" $(BIN)/uv pip compile pyproject.toml \
			requirements/frameworks/$$name.in --quiet --upgrade --no-config --universal --python-version 3.11 \
			$$(extra=$$(echo $$name | tr _ -); grep -q "^$$extra = " pyproject.toml && echo --extra $$extra) \
			--extra s3 --extra postgres --group frameworks \
			--generate-hashes --no-emit-index-url --no-emit-find-links \
			--output-file requirements/frameworks/$$name.txt || exit; \
	done

sbom: .venv/test ## write an SBOM for each extra into dist/sbom/
	$(BIN)/python -m release.sbom dist/sbom

clean: ## remove everything that make made
	rm -rf .venv .frameworks site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
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
