# Everything a developer runs.  Each target first makes what it needs: a virtual environment in
# .venv, the packages of pyproject.toml, and for the tests cross compilers where they can be had.

PYTHON  ?= python3
VENV    := .venv
PY      := $(VENV)/bin/python
PIP     := $(PY) -m pip --disable-pip-version-check --quiet
RUNTIME := $(VENV)/.runtime
DEV     := $(VENV)/.dev

.PHONY: help demo demo-linux test test-all check format bless bench docs guests clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: $(RUNTIME) ## run a bundled PowerPC program, and boot a bundled disk in a PC
	@$(PY) -m demo.run
	@$(PY) -m demo.pc

demo-linux: $(RUNTIME) ## fetch Debian's kernel and busybox, and boot them to a shell
	@$(PY) -m demo.linux i386

test: $(DEV) tools ## the tests that fit into a coffee break
	$(PY) -m pytest -m "not slow"

test-all: $(DEV) tools ## every test: all optimization levels, real programs, GCC's c-torture
	$(PY) -m pytest

check: $(DEV) ## ruff and mypy --strict
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(DEV) ## let ruff lay out the sources
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bless: $(DEV) tools ## rewrite the expected halves of the text tests; read the diff
	$(PY) -m pytest -m "not slow" --bless

bench: $(DEV) tools ## measure native, QEMU and our engines in one run; prints tables
	@mkdir -p bench/results
	$(PY) -m pytest bench -q --benchmark-only --benchmark-quiet --timeout 0 \
	    --benchmark-json=bench/results/latest.json
	@$(PY) -m bench.report

docs: $(DEV) ## write the generated pages of docs/
	$(PY) -m docs.generate

guests: $(DEV) ## build the committed guest program of the demo again from its source
	$(PY) -m demo.build

clean: ## forget everything that was built, but not .venv
	rm -rf build dist .mypy_cache .ruff_cache .hypothesis .benchmarks

.PHONY: tools
tools: $(DEV)
	@$(PY) -m scripts.tools

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "qemupy needs Python 3.11 or later; say which: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "cannot make a virtual environment; on Debian: apt-get install python3-venv"; exit 1; }

$(RUNTIME): pyproject.toml | $(VENV)/bin/python
	@echo "installing qemupy into $(VENV)"
	@$(PIP) install -e .
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/python
	@echo "installing qemupy and its development tools into $(VENV)"
	@$(PIP) install -e '.[dev]'
	@touch $(RUNTIME) $@
