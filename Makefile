# Everything happens in .venv, which the first call of any target sets up.
# PYTHON=python3.12 chooses the interpreter; otherwise the first one of a supported version is taken.

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOKS := $(wildcard book/*.ipynb)

.DEFAULT_GOAL := help
.PHONY: help book test lab bench notebooks clean

help:
	@echo "make book       build the book into _build/html, executing every notebook"
	@echo "make test       lint, test the helpers, re-run the notebooks and compare their outputs"
	@echo "make lab        open the chapters in JupyterLab"
	@echo "make bench      time saliency maps and class models against plain code, side by side"
	@echo "make notebooks  execute the notebooks in place, to commit them"
	@echo "make clean      remove what was built, and .venv"

$(READY): requirements.txt constraints.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and was not found" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements.txt
	@touch $@

book: $(READY)
	$(BIN)/jupyter-book build --all -n -W --keep-going .
	@echo
	@echo "The book is built. Open this file in a browser:"
	@echo "  $(CURDIR)/_build/html/index.html"

test: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest

lab: $(READY)
	$(BIN)/jupyter lab book

bench: $(READY)
	$(BIN)/python tools/bench_saliency.py
	$(BIN)/python tools/bench_class_model.py

notebooks: $(READY)
	$(BIN)/python tools/execute_notebooks.py $(NOTEBOOKS)

clean:
	rm -rf .venv _build .pytest_cache .ruff_cache
