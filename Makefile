# `make repro` and `make test` do everything on a machine with Python, git and make.

PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro repository doctor test test-fast test-all lint sample mlflow experiments app

repro: $(VENV)/installed repository  ## run the whole pipeline
	dvc repro

repository:  ## make this folder a git repository, which DVC needs, where it was downloaded as a ZIP
	@git rev-parse --git-dir >/dev/null 2>&1 || { git init --quiet && git add --all && \
	    echo "made a git repository of this folder; before experiments: git commit -m Start"; }

doctor: $(VENV)/installed  ## mend what a kill or a full disk left, where DVC says "corrupted"
	python tools/doctor.py

test: $(VENV)/installed repository  ## run the tests, among them the whole pipeline in a fresh clone
	python -m pytest

test-fast: $(VENV)/installed  ## run the tests that take a minute together, for each save
	python -m pytest -m "not slow and not long"

test-all: $(VENV)/installed repository  ## also the tests that take minutes
	python -m pytest -m ""

lint: $(VENV)/installed
	ruff check .
	ruff format --check .
	mypy

sample: $(VENV)/installed  ## draw the synthetic sample again; the same images on every call
	PYTHONPATH=stages python -m lesion.synthetic sample

mlflow: $(VENV)/installed  ## show the runs in a browser
	python tools/show_runs.py

app: $(VENV)/installed  ## show the trained model in a browser: photographs in, outlines out
	python tools/app.py

# Of about 200 columns those that people ask for: the parameters in which experiments differ, and
# three scores. What has a dot or a slash is a score or a file; the words are other numbers, folders
# and what `dvc queue status` says better. SHOW=--md or --csv is for other programs.
OTHERS := .*[./]|Created|Executor|State|origin|pairs|rejected|left_out|near_duplicates|best_
OTHERS := $(OTHERS)|arrays$$|raw$$|plots$$|predictions$$|pretrained$$|hashes$$|sample$$

experiments: $(VENV)/installed  ## show DVC's experiments, the best on validation first
	dvc exp show $(SHOW) --only-changed --hide-workspace --drop '$(OTHERS)' \
	    --keep '(validation\.iou|test\.dice|test\.iou)$$' \
	    --sort-by validation.iou --sort-order desc

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	    f"Python 3.11 or newer is needed; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@
