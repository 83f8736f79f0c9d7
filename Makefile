# make tour   the first look: environment, then notebooks/00_start.ipynb with its report
# make lab    JupyterLab with ntviz's kernels registered
# make test   lint, types, unit tests, every notebook at profile ci, the browser tests; installs what they need from Debian where it may
# make test-cluster   the tests on a real Slurm of four nodes on this host
#
# make env, make lint, make lock, make clean; PYTHON=/path/to/python3.12 chooses the interpreter.

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?=
CANDIDATES := $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python

# In a container one is root, which JupyterLab asks to be told.
LAB_OPTIONS ?= $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help env tour lab packages lint test test-cluster lock clean

help:
	@sed -n '/^VENV/q; s/^# \{0,1\}//p' Makefile

env: $(STAMP)

$(STAMP): requirements.lock pyproject.toml $(wildcard kernels/*/kernel.json)
	@if [ ! -x $(BIN)/python ]; then \
	  found=; seen=; \
	  for candidate in $(CANDIDATES); do \
	    version=$$($$candidate -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    seen="$$seen $$candidate=$$version"; \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo "ntviz needs Python 3.11 or newer, but found:$${seen:- none}." >&2; \
	    echo "Install it, or name it: make tour PYTHON=/path/to/python3.11" >&2; exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$found ($$version)"; \
	  if ! $$found -m venv $(VENV); then \
	    rm -rf $(VENV); \
	    echo "$$found cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	fi
	@echo "Installing the versions of requirements.lock into $(VENV); the first time this takes some minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/ntviz kernel install --sys-prefix >/dev/null
	@touch $(STAMP)

tour: $(STAMP)
	@HF_HUB_OFFLINE=1 $(BIN)/ntviz run notebooks/00_start.ipynb

lab: $(STAMP)
	$(BIN)/jupyter lab $(LAB_OPTIONS) notebooks/00_start.ipynb

packages:
	@.ci/packages

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ty check

# A CUDA build of torch brings its own triton; beside a CPU build it comes from here, to run the kernel interpreted.
test: packages lint
	@if [ "$$(uname)" = Linux ]; then \
	  $(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check triton==3.7.1; \
	fi
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --ignore=tests/cluster

test-cluster: $(STAMP)
	@.ci/packages slurm
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest tests/cluster

lock: $(STAMP)
	$(BIN)/python .ci/lock.py

clean:
	rm -rf build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
