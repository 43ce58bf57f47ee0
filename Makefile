# Everything here does its own set-up.
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
export INTERP_CACHE ?= $(CURDIR)/.cache/interp

.PHONY: help
help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.PHONY: page
page:  ## build one page alone: make page P=book/segment-1/convolution.md
	@$(PYTHON) tools/build_page.py $(P)
