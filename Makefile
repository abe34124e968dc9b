# One entry for people and for CI. `make demo` and `make test` need nothing but Python 3.11+ and a package registry.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo results test browser check format

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[mmdet]" --group dev
	touch $(STAMP)

demo: setup
	$(BIN)/selfe-eval geneval --ckpt flow-tiny --steps 1,2,4,8,50 --images-per-prompt 1
	$(BIN)/selfe-eval geneval --ckpt selfe-tiny --steps 1,2,4,8,50 --images-per-prompt 1

# How the published results were made and how long it took. Runs nothing: it takes hours.
results:
	@cat results/RECIPE.md

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One process a core, each with one thread; the tests of a file stay together, since they share what is slow to make.
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# Needs chromium or Chrome: `apt-get install chromium`.
browser: setup
	$(BIN)/python -m pytest -m browser

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
