# make demo | dashboard | test | bench: each sets up what it needs in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
READY := $(VENV)/.ready
OPENMCT := node_modules/.ready

.PHONY: help setup demo dashboard test lint browser bench clean

help:
	@echo "make demo        simulate a scene, process it, compare the mask with the truth"
	@echo "make dashboard   the same mission in the browser; prints its address"
	@echo "make test        ruff, mypy and the whole test suite"
	@echo "make bench       measure; writes docs/benchmarks.md (an hour at least; ukis-csmask takes 22 GB)"
	@echo "make clean       remove .venv and what demo and bench made"

setup: $(READY)

$(READY): pyproject.toml constraints.txt deploy/setup.sh deploy/packages.sh
	deploy/setup.sh $(VENV)
	touch $@

demo: $(READY)
	deploy/demo.sh $(VENV)

# Open MCT, prebuilt, for the dashboard's page.
$(OPENMCT): package-lock.json deploy/openmct.sh deploy/packages.sh
	deploy/openmct.sh
	touch $@

dashboard: $(READY) $(OPENMCT)
	deploy/dashboard.sh $(VENV)

# What the dashboard's tests need; where it cannot be had they are skipped, and say so.
browser:
	@$(MAKE) --no-print-directory $(OPENMCT) && deploy/browser.sh || \
		echo "test: without Open MCT and Chromium the tests of the dashboard's page are skipped" >&2

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint browser
	$(VENV)/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: $(READY) browser
	$(VENV)/bin/python -m deploy.benchmark

clean:
	rm -rf $(VENV) node_modules demo bench
