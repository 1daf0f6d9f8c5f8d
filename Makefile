# make demo | test | bench: each sets up what it needs in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
READY := $(VENV)/.ready

.PHONY: help setup demo test lint bench clean

help:
	@echo "make demo    simulate a scene, process it, compare the mask with the truth"
	@echo "make test    ruff, mypy and the whole test suite"
	@echo "make bench   measure; writes docs/benchmarks.md (about an hour; ukis-csmask takes 22 GB)"
	@echo "make clean   remove .venv and what demo and bench made"

setup: $(READY)

$(READY): pyproject.toml constraints.txt deploy/setup.sh
	deploy/setup.sh $(VENV)
	touch $@

demo: $(READY)
	deploy/demo.sh $(VENV)

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	$(VENV)/bin/pytest

bench: $(READY)
	$(VENV)/bin/python -m deploy.benchmark

clean:
	rm -rf $(VENV) demo bench
