# `make repro` and `make test` do everything on a machine with Python, git and make.

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test test-all lint sample mlflow

repro: $(VENV)/installed  ## run the whole pipeline
	dvc repro

test: $(VENV)/installed  ## run the tests, among them the whole pipeline in a fresh clone
	python -m pytest

test-all: $(VENV)/installed  ## also the tests that take minutes
	python -m pytest -m ""

lint: $(VENV)/installed
	ruff check .
	ruff format --check .

sample: $(VENV)/installed  ## draw the synthetic sample again; the same images on every call
	PYTHONPATH=stages python -m lesion.synthetic sample

mlflow: $(VENV)/installed  ## show the runs in a browser
	python tools/show_runs.py

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	    f"Python 3.11 or newer is needed; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@
