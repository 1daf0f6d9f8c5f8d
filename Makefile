# make demo | dashboard | yamcs | test | docs | bench | faults | fuzz | soak | archive-demo: each installs what it needs into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
READY := $(VENV)/.ready
YAMCS := .yamcs/.ready
OPENMCT := node_modules/.ready
# A worker that crashes ends the run: its replacement would wait without end for tests of the other.
PARALLEL := --dist loadfile --no-loadscope-reorder --max-worker-restart 0
COVERED := 92

.PHONY: help setup demo dashboard yamcs foreign test lint style browser docs bench judge faults fuzz soak archive-demo archive-kills archive-stubs sbom clean

help:
	@echo "make demo        simulate a scene, process it, compare the mask with the truth"
	@echo "make dashboard   the same mission in the browser; prints the address"
	@echo "make yamcs       the same mission under Yamcs; prints the address"
	@echo "make test        ruff, mypy and the whole test suite"
	@echo "make docs        the pages as a site with search, links checked; prints its address"
	@echo "make foreign     control the service from Yamcs and other foreign tools, as tests"
	@echo "make faults      damaged states, kills, power cuts, flipped bits in memory, wrong answers, attacks, packet headers; continues where it was stopped"
	@echo "make fuzz        a million coverage-guided inputs for every decoder; continues where it was stopped"
	@echo "make soak        an accelerated week with faults in 30 minutes; prints what grew"
	@echo "make archive-demo   reprocess 24 small scenes on two workers, beside a serial run"
	@echo "make archive-kills  kill workers and drivers of 20 runs, continuing where it was stopped"
	@echo "make archive-stubs  100,000 scenes that cost nothing: time and memory of the driver"
	@echo "make bench       measure and write docs/benchmarks.md (at least an hour; ukis-csmask needs 22 GB)"
	@echo "make judge       judge the release by labelled images below DATA; writes docs/model-card.md"
	@echo "make sbom        list what a flight unit installs, as CycloneDX, in sbom.json"
	@echo "make clean       remove .venv, .yamcs, node_modules and the output of demo, docs, bench, judge, faults, soak, archive and sbom"

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

# Apart from the project's: Yamcs is a tool of the user's own (deploy/yamcs/install.sh).
$(YAMCS): deploy/yamcs/requirements.txt deploy/yamcs/install.sh
	deploy/yamcs/install.sh .yamcs
	touch $@

yamcs: $(READY) $(YAMCS)
	deploy/yamcs.sh $(VENV)

foreign: $(READY) $(YAMCS)
	FLIGHTSW_LONG_TESTS=1 $(VENV)/bin/pytest tests/foreign

# The dashboard's tests need these; without them they are skipped with a message.
browser:
	@$(MAKE) --no-print-directory $(OPENMCT) && deploy/browser.sh || \
		echo "test: Open MCT or Chromium is unavailable; the tests of the dashboard's page are skipped" >&2

style: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

lint: style
	$(VENV)/bin/mypy

# Coverage is measured on the unit tests only: with it, the others would take longer.
# The other tests wait for processes much of their time, so four share two cores; these processes
# find the project's bytecode, whatever the shell says.  Each library has one thread, since the
# threads of several processes would wait for each other; mypy runs beside the tests, on one core.
test: export PYTHONDONTWRITEBYTECODE =
test: export OMP_NUM_THREADS = 1
test: style browser
	$(VENV)/bin/mypy & types=$$!; \
	$(VENV)/bin/pytest -n 3 $(PARALLEL) --cov --cov-report= --cov-fail-under=$(COVERED) tests/unit || \
		{ kill $$types 2>/dev/null; exit 1; }; \
	wait $$types
	$(VENV)/bin/pytest -n 4 $(PARALLEL) --ignore tests/unit tests

docs: $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(VENV)/bin/python -m deploy.documentation.site

bench: $(READY) browser
	$(VENV)/bin/python -m deploy.benchmark

# The images of deploy/model/sources.toml lie below DATA; the teacher is asked once.
# PEER=landsatbiomeRGBI6.hdf5 judges DL-L8S2-UV too (deploy/model/README.md).
judge: $(READY)
	@test -n "$(DATA)" || { echo "make judge DATA=FOLDER: name the folder of the images" >&2; exit 2; }
	test -d judge/taught || { $(VENV)/bin/python -m deploy.model.label "$(DATA)" judge/begun && mv judge/begun judge/taught; }
	$(VENV)/bin/python -m deploy.model.judge "$(DATA)" judge/taught $$(echo flightsw/model/shipped/*) $(AGAINST) \
		$(if $(PEER),--peer "$(PEER)")
	$(VENV)/bin/python -m deploy.documentation.model_card_page

faults: $(READY)
	nice -n 10 $(VENV)/bin/python -m deploy.faults $(CAMPAIGNS)

# DECODERS="jp2 manifest" chooses some; without, all.
fuzz: $(READY)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[fuzz]"
	nice -n 10 $(VENV)/bin/python -m deploy.faults.fuzz $(DECODERS)

soak: $(READY)
	$(VENV)/bin/python -m deploy.faults.soak

archive-demo: $(READY)
	$(VENV)/bin/python -m deploy.archive.demo

archive-kills: $(READY)
	nice -n 10 $(VENV)/bin/python -m deploy.archive.kills

archive-stubs: $(READY)
	$(VENV)/bin/python -m deploy.archive.stubs archive/stubs --scenes 100000

sbom: $(READY)
	$(VENV)/bin/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements \
		--pyproject pyproject.toml --output-reproducible --of JSON -o sbom.json deploy/jetson/requirements.txt

clean:
	rm -rf $(VENV) .yamcs node_modules build demo bench judge faults soak archive sbom.json
