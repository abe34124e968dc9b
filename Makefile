# One entry for people and for CI. `make demo` and `make test` need nothing but Python 3.11+ and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test check format

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[mmdet]" --group dev
	touch $(STAMP)

demo: setup
	$(BIN)/selfe-eval geneval --ckpt flow-tiny --steps 1,2,4,8,50 --images-per-prompt 1
	$(BIN)/selfe-eval geneval --ckpt selfe-tiny --steps 1,2,4,8,50 --images-per-prompt 1

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
