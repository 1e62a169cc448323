# `make repro` and `make test` do everything on a machine with Python, git and make.

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro repository test test-all lint sample mlflow

repro: $(VENV)/installed repository  ## run the whole pipeline
	dvc repro

repository:  ## make this folder a git repository, which DVC needs, where it was downloaded as a ZIP
	@git rev-parse --git-dir >/dev/null 2>&1 || { git init --quiet && git add --all && \
	    echo "made a git repository of this folder; before experiments: git commit -m Start"; }

test: $(VENV)/installed repository  ## run the tests, among them the whole pipeline in a fresh clone
	python -m pytest

test-all: $(VENV)/installed repository  ## also the tests that take minutes
	python -m pytest -m ""

lint: $(VENV)/installed
	ruff check .
	ruff format --check .

sample: $(VENV)/installed  ## draw the synthetic sample again; the same images on every call
	PYTHONPATH=stages python -m lesion.synthetic sample

mlflow: $(VENV)/installed  ## show the runs in a browser
	mlflow ui --backend-store-uri sqlite:///mlflow.db

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	    f"Python 3.11 or newer is needed; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@
