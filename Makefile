SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: book pdf slides test notebooks student serve bench lint format figures colab \
    matrix cuda assignments grade lock version clean help

PYTHON ?= python3
PORT ?= 8000
VENV := .venv/bin/python
READY := .venv/ready

book: $(READY)  ## render the book; warnings are errors
	$(VENV) tools/build_book.py $(if $(FORCE),--force)

pdf: $(READY)  ## print the rendered book into one PDF (needs Chromium)
	$(VENV) tools/print_book.py

slides: $(READY)  ## write a deck for every chapter, and the pack of figures (NB=03: one)
	$(VENV) tools/build_slides.py $(if $(NB),--only $(NB))

test: $(READY)  ## lint, unit tests, notebooks, the book (FORCE=1 skips none; LONG=1)
	$(VENV) tools/run_tests.py $(if $(FORCE),--force) $(if $(LONG),--long)

notebooks: $(READY)  ## execute the stale notebooks and store their outputs (NB=03: one)
	$(VENV) tools/run_notebooks.py $(if $(NB),--only $(NB)) $(if $(FORCE),--force)

student: $(READY)  ## write the student edition into student/ (NB=03: one; RUN=1: run it)
	$(VENV) tools/student_edition.py $(if $(NB),--only $(NB)) $(if $(RUN),--run)

serve: book  ## serve the rendered book on localhost (PORT=8000)
	$(VENV) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

bench: $(READY)  ## print the benchmark ratios
	for script in benchmarks/[!_]*.py; do $(VENV) "$$script"; done

lint: $(READY)  ## check style, format, spelling and the method's types
	$(VENV) tools/run_tests.py --force lint

format: $(READY)  ## fix style and format
	$(VENV) -m ruff check --fix .
	$(VENV) -m ruff format .
	$(VENV) tools/check_scripts.py --fix

figures: $(READY)  ## draw the figures of the pages and the logo
	$(VENV) tools/draw_figures.py

colab: $(READY)  ## run every notebook alone in a room like Colab's (NB=03, JOBS=2)
	$(VENV) tools/student_edition.py $(if $(NB),--only $(NB))
	$(VENV) tools/colab.py $(if $(NB),--only $(NB)) $(if $(JOBS),--jobs $(JOBS)) \
	    $(if $(TORCH),--torch $(TORCH))

matrix: $(READY)  ## test on the oldest and the newest versions (ROW=oldest, WHOLE=1)
	$(VENV) tools/matrix.py $(if $(ROW),--only $(ROW)) $(if $(WHOLE),--whole)

cuda: $(READY)  ## run every test and every notebook on a GPU, within ten minutes
	$(VENV) tools/on_cuda.py

assignments: $(READY)  ## make the assignments' versions for students and instructors
	$(VENV) tools/assignments.py

grade: $(READY)  ## grade submitted notebooks (SUBMISSIONS=folder; ASSIGNMENT=, SEED=, JOBS=)
	$(VENV) tools/grade.py "$(SUBMISSIONS)" $(if $(ASSIGNMENT),--assignment $(ASSIGNMENT)) \
	    $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

lock:  ## resolve requirements.txt anew from pyproject.toml (UPGRADE=1: newest)
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet uv
	cp requirements.txt _build/lock/requirements.txt
	_build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --extra course --extra book --extra teach --extra test --generate-hashes --no-annotate \
	    --no-header --no-emit-index-url --no-emit-find-links \
	    $(if $(UPGRADE),--upgrade) \
	    --output-file _build/lock/requirements.txt pyproject.toml
	{ sed '/^#/!q' requirements.txt | grep '^#'; \
	    grep -v '^#' _build/lock/requirements.txt; } > _build/lock/new.txt
	mv _build/lock/new.txt requirements.txt

version: $(READY)  ## write a new version everywhere (VERSION=1.2.3)
	$(VENV) tools/set_version.py "$(VERSION)"

clean:  ## remove what was built; the environment stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sort | sed -E 's/:.*##/\t/' | expand -t 12

# The marker is written last, so that a half-finished installation is not taken for one.
$(READY): requirements.txt pyproject.toml package-lock.json
	rm -f $@
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "The book needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@echo "Setting up .venv; the first time takes some minutes."
	$(PYTHON) -m venv .venv
	$(VENV) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(VENV) -m pip install --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --editable .
	@# nbgrader, with which `make grade` counts points, brings buttons for teachers along.
	mkdir -p .venv/etc/jupyter/labconfig
	echo '{"disabledExtensions": {"@jupyter/nbgrader": true}}' \
	    > .venv/etc/jupyter/labconfig/page_config.json
	.venv/bin/npm ci --silent --no-audit --no-fund \
	    || echo "No packages for the pages' scripts could be had: the book comes without them."
	touch $@
