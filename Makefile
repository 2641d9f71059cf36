# Everything happens in .venv, which the first call of any target sets up.
# PYTHON=python3.12 chooses the interpreter; otherwise the first one of a supported version is taken.

ifeq ($(OS),Windows_NT)
$(error make runs on Linux and macOS. On Windows, use a Linux of WSL, or read the book in Colab: README.md)
endif

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
supported = $(shell for p in $(1); do $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
# what the caller gives: .venv is then of its version
GIVEN := $(if $(filter environment command,$(firstword $(origin PYTHON))),$(PYTHON))
PYTHON ?= $(call supported,python3 python3.13 python3.12 python3.11 python)
# Colab's own version first
COLAB_PYTHON ?= $(call supported,python3.13 python3.12 python3.11 python3 python)
# a command that ends the recipe unless its argument is a Python that serves
needs_python = @$(if $(1),$(1) -c '$(SUPPORTED)' 2>/dev/null,false) || { \
	echo "Python 3.11, 3.12 or 3.13 is needed, and $(if $(1),$(1) is none of them,was not found)." >&2; \
	echo "Install one (Debian and Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.13;" >&2; \
	echo "anywhere: uv python install 3.13), then call make PYTHON=python3.13, or give the path of one." >&2; exit 1; }
BIN := .venv/bin
READY := .venv/.ready
# .venv is of this folder, of the Python that is given and whole; if not, it is made anew
FITS := $(filter fits,$(shell $(or $(GIVEN),$(BIN)/python) -I tools/set_up.py --check $(if $(GIVEN),--this-python) 2>/dev/null))
# one at a time, of all makes in this folder
ALONE = $(PYTHON) tools/alone.py $@
PACKAGES := node_modules/.package-lock.json
KATEX := _build/scripts/katex/katex.min.css
# the network in the page: its script, and last of each tool's files the one whose time counts
PLAYGROUND := _build/web/playground.js
NETWORKS := _build/web/photos.js
STILL := _build/web/playground.jpg
IN_THE_PAGE := $(PLAYGROUND) $(NETWORKS) $(STILL)
HTML := _build/html/index.html
# with SOLUTIONS=1 the book goes to a folder of its own: none of it gets among what is published
SOLVED := _build/solutions/_build/html/index.html
BOOK := $(if $(filter 1,$(SOLUTIONS)),$(SOLVED),$(HTML))
SLIDES := $(dir $(BOOK))slides/session_1.html
# what JupyterLab names itself are drafts: neither the book, its tests nor git takes them
DRAFTS := -path '*/Untitled*' -o -path '*/untitled*' -o -path '*-Copy[0-9]*'
files = $(shell find $(1) -type f -not -path '*/.*' -not -path '*/__pycache__/*' -not \( $(DRAFTS) \) \
	| sort | sed 's/[ :]/\\&/g')
NOTEBOOKS := $(call files,book -maxdepth 1 -name '*.ipynb')
name_drafts = @find book -type f -not -path '*/.*' \( $(DRAFTS) \) | sed 's/^/Left out, as its name is that of a draft: /'
LIBRARY := $(call files,lib/deepinside)
# what the pages are made of: a change of any makes the book out of date
SOURCES := _config.yml _toc.yml $(LIBRARY) $(call files,book classroom/students)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: misfit help book pages pdf lint check test test-colab lab bench notebooks students release clean

help:
	@echo "make book       build the book into _build/html, executing every notebook, if it is out of date"
	@echo "                with SOLUTIONS=1 another one beside it that has the exercises' solutions"
	@echo "make pages      build the pages into _build/pages in seconds, executing nothing: to look at text and style"
	@echo "make pdf        print the built book into one PDF beside the pages, through Chromium"
	@echo "make check      lint, and test what is quick: chapters' rules, tools, structure; under a minute"
	@echo "make test       lint, build the book, test helpers and pages, re-run the notebooks and compare"
	@echo "make test-colab run the notebooks with Colab's versions, in an environment of their own"
	@echo "make lab        open the chapters in JupyterLab"
	@echo "make bench      time saliency maps, class models and the network in the page beside others, and pages on a slow line"
	@echo "make notebooks  execute the notebooks in place, to commit them;"
	@echo "                NOTEBOOKS=book/saliency.ipynb executes this one alone"
	@echo "make students   make the students' notebooks and the pages of exercises from the teacher's"
	@echo "make chapter NAME=my_maps TITLE='My maps'"
	@echo "                make a chapter with a figure, a number, an exercise and questions, to be written"
	@echo "make release VERSION=1.2.0"
	@echo "                test, commit and tag this version, to which its cells and badges then lead"
	@echo "make clean      remove what was built and installed"

$(READY): requirements.txt constraints.txt pyproject.toml $(if $(FITS),,misfit)
	$(call needs_python,$(PYTHON))
	@$(ALONE) "$(PYTHON) tools/set_up.py $(if $(GIVEN),--this-python)"

misfit:

$(PACKAGES): package.json package-lock.json $(READY)
	@test ! -L node_modules || { echo "node_modules is a link, and npm would empty what it leads to." \
		"Remove the link (rm node_modules), then call make again." >&2; exit 1; }
	$(BIN)/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# formulas are typeset when the book is built; a page asks for the style sheet and the fonts
$(KATEX): $(PACKAGES) tools/katex_style.py
	$(BIN)/python tools/katex_style.py $(@D)

$(PLAYGROUND): $(PACKAGES) $(call files,web) lib/deepinside/explorers/widget.js
	$(BIN)/node web/build.mjs $(@D)
	@touch $@

$(NETWORKS): $(READY) $(LIBRARY) tools/describe_networks.py
	$(BIN)/python tools/describe_networks.py $(@D)

$(STILL): $(READY) $(LIBRARY) tools/draw_playground.py
	$(BIN)/python tools/draw_playground.py $@

# of the theme's 0.5 MB of styles a page uses a third: without the rest it is painted 2 s sooner;
# the playground's are all used, by names that its script puts together
PURGE = cd $(@D) && ../../node_modules/.bin/purgecss --font-face --keyframes \
	--css '_static/**/!(playground).css' --content '**/*.html' '_static/**/*.js' --preserve-paths --output .

$(HTML): $(READY) $(KATEX) $(IN_THE_PAGE) $(SOURCES) tools/finish_pages.py tools/self_tests.py
	$(ALONE) "$(BIN)/jupyter-book build --all -n -W --keep-going . && ($(PURGE)) && touch $@"

$(SOLVED): $(READY) $(KATEX) $(IN_THE_PAGE) $(SOURCES) $(wildcard classroom/source/*/*.ipynb) \
	tools/make_students.py tools/finish_pages.py tools/self_tests.py
	$(ALONE) "$(BIN)/python tools/make_students.py --solutions _build/solutions && \
		$(BIN)/jupyter-book build --all -n -W --keep-going _build/solutions && touch $@"

# beside the pages of the book, to which they link
$(SLIDES): $(BOOK) $(NOTEBOOKS) $(call files,classroom/slides classroom/source) tools/make_slides.py
	$(BIN)/python tools/make_slides.py $(@D)

book: $(SLIDES)
	$(name_drafts)
	@echo
	@echo "The book is built. Open this file in a browser:"
	@echo "  $(CURDIR)/$(BOOK)"

# the pages with the committed outputs: explorers are still pictures, styles are not purged;
# the lexer, which an execution would name, is guessed
PAGES := _build/pages
pages: $(READY) $(KATEX) $(IN_THE_PAGE)
	@mkdir -p $(PAGES)
	@sed -e 's/execute_notebooks: force/execute_notebooks: "off"/' \
		-e 's/\(suppress_warnings: \[\)/\1misc.highlighting_failure, /' _config.yml > $(PAGES)/_config.yml
	PYTHONPATH=tools $(BIN)/jupyter-book build -q -n -W --keep-going --config $(PAGES)/_config.yml --path-output $(PAGES) .
	@echo
	@echo "Open this file in a browser:"
	@echo "  $(CURDIR)/$(PAGES)/_build/html/index.html"

pdf: $(HTML) $(SLIDES)
	$(BIN)/python tools/print_book.py

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# the tests of a file stay together, as a notebook's cells must; a process computes on one core
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
QUICK := tests/tools tests/book/test_notebooks.py tests/classroom/test_students.py \
	tests/test_structure.py tests/test_arguments.py tests/test_measures.py tests/test_rows.py

check: lint
	$(PYTEST) -q $(QUICK) -k "not runs_to_its_end and not goes_on_where_it_ended and not only_when_asked_for"

test: lint $(HTML) $(SLIDES)
	$(name_drafts)
	$(BIN)/node --test tests/web/test_*.mjs
	$(PYTEST)

test-colab:
	$(call needs_python,$(COLAB_PYTHON))
	$(COLAB_PYTHON) tools/run_in_colab_versions.py

lab: $(READY)
	$(BIN)/jupyter lab book

bench: $(HTML)
	$(BIN)/python tools/bench_saliency.py
	$(BIN)/python tools/bench_class_model.py
	$(BIN)/python tools/bench_pages.py
	$(BIN)/python tools/bench_engine.py

students: $(READY)
	$(BIN)/python tools/make_students.py
	$(BIN)/python tools/make_guide.py

.PHONY: chapter
chapter: $(READY)
	$(BIN)/python tools/new_chapter.py "$(NAME)" "$(TITLE)"

notebooks: $(READY)
	$(BIN)/python tools/execute_notebooks.py $(NOTEBOOKS)

release: $(READY)
	$(BIN)/python tools/release.py $(VERSION)

clean:
	rm -rf .venv .venv-colab _build node_modules .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
