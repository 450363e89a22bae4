# One command does everything on a machine with Python and git; `PYTHON=python3.13` takes another.
PYTHON ?= python3.11
VENV := .venv
INSTALLED := $(VENV)/installed.lock
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
QUIET := MLFLOW_LOGGING_LEVEL=WARNING
STORE := sqlite:///$(CURDIR)/mlflow.db

.PHONY: demo test test-slow lint ui server lock

demo: $(INSTALLED) ## the whole chain on synthetic eyes
	@$(RUN) $(QUIET) mlflow run . --env-manager local --experiment-name fundus

test: $(INSTALLED) ## every test that takes seconds, in three processes
	$(RUN) python -m tests -m "not slow and not gpu"

test-slow: $(INSTALLED) ## the longer checks too
	$(RUN) pytest

lint: $(INSTALLED)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

ui: $(INSTALLED) ## look at runs, versions and pictures
	@$(RUN) $(QUIET) MLFLOW_TRACKING_URI="$(STORE)" python -m tracking.ui

server: $(INSTALLED) ## one server for a team, with users; FLAGS="--help" tells how
	@$(VENV)/bin/python -c "import flask_wtf" 2>/dev/null || \
	  $(VENV)/bin/pip install --disable-pip-version-check --quiet "mlflow[auth]==3.17.2"
	@$(RUN) $(QUIET) python -m tracking.server $(FLAGS)

lock: ## pin everything again after pyproject.toml changed; needs uv
	uv pip compile --universal --python-version 3.11 --extra dev --no-emit-index-url \
	  --no-header --no-annotate pyproject.toml \
	  | grep -v "sys_platform == 'emscripten'\|^opencv-python-headless" > pinned.tmp
	(sed -n '/^#/p' requirements.lock; cat pinned.tmp) > requirements.tmp
	mv requirements.tmp requirements.lock && rm pinned.tmp

$(INSTALLED): requirements.lock
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --disable-pip-version-check --quiet --no-deps -r requirements.lock
	$(VENV)/bin/python -c "from fundus_ml.imaging.opencv import cv2"
	cp requirements.lock $(INSTALLED)
