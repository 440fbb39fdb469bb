# `make` prints what there is. Every target sets up what it needs.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
SOURCES := angos_trio tests packaging/zipapp
# Tests that need more than the sources have targets of their own.
APART := $(addprefix --ignore=tests/,browser guest zipapp)

LISTEN ?= 127.0.0.1:8000
DATA_DIR ?= ./angos-data
KILLS ?= 100

# What starts a server hundreds of times is not to compile it anew each time, whatever the caller
# has set: a host runs compiled files too.
unexport PYTHONDONTWRITEBYTECODE
# What is tried is what is here.
unexport PYTHONPATH

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test lint check format coverage openapi api conformance conformance-v1.1.1 crash damage family browser e2e memory through soak rude logins bench bench-scale zb nightly \
	zipapp zipapp-test zipapp-times \
	zipapp-conformance zipapp-suites appliance-test lock clean

help: ## print these commands
	@awk -F ':.*## ' '/^[a-z][a-z0-9.-]*:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## start a registry on http://127.0.0.1:8000 that stores in ./angos-data
	$(VENV)/bin/angos-trio serve --listen $(LISTEN) --data-dir $(DATA_DIR)

test: $(READY) ## run all tests but the browser's, slow ones too (one: make test T=tests/oci/test_digest.py)
	$(PY) -m pytest $(or $(T),$(APART) -q -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0)

lint: $(READY) ## format, lint, types, style
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m mypy
	$(PY) -m pytest -q tests/style

check: lint ## lint, and the fast tests: about a minute
	$(PY) -m pytest -q -m "not slow" --ignore=tests/style $(APART) -n 2 --dist loadfile --max-worker-restart=0

format: $(READY) ## write the sources as `make check` wants them
	$(PY) -m ruff check --fix-only $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

coverage: $(READY) ## branch coverage of the fast tests; oci/ must be at 100 %
	$(PY) -m coverage run -m pytest -q -m "not slow" $(APART)
	$(PY) -m coverage report
	$(PY) -m coverage report --include='angos_trio/oci/*' --fail-under=100

openapi: $(READY) ## write docs/openapi.json anew from the routes and docs/api.md
	$(PY) -m tests.openapi.document

api: $(READY) ## schemathesis over every operation of docs/openapi.json (QUICK=1) (SEED=… replays)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[openapi]'
	$(PY) -m tests.openapi.run $(if $(QUICK),--quick) $(if $(SEED),--seed $(SEED))

conformance: $(READY) ## the official conformance program, everything switched on (needs Go)
	$(PY) -m tests.conformance.run

conformance-v1.1.1: $(READY) ## the older suite of tag v1.1.1 (needs Go; SUITE=DIR: a copy of it)
	$(PY) -m tests.conformance.run_v1_1_1 $(if $(SUITE),--source $(SUITE))

crash: $(READY) ## kill the server under load KILLS times, inject every fault (SEED=… replays) (QUICK=1)
	$(PY) -m tests.crash.run $(if $(QUICK),--kills 12 --every 12,--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

damage: $(READY) ## 54 kinds of damage to a store of 65 images, one by one and at once: scrub sees to all
	$(PY) -m tests.damage.run

family: $(READY) ## four workers are one registry, also when some are killed (QUICK=1)
	$(PY) -m tests.family.run $(if $(QUICK),--quick)

browser: $(READY) ## pages in Debian's Chromium, pictures in .cache/browser (root, for apt-get) (QUICK=1)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(PY) -m tests.browser.run $(if $(QUICK),--quick)

e2e: $(READY) ## real clients, plain and TLS (root; Debian; Go; npm) (QUICK=1: without helm)
	$(PY) -m tests.e2e.run $(if $(QUICK),--quick) $(if $(CLIENTS),--only $(CLIENTS)) \
	  $(if $(WRITE_DOCS),--write-docs)

memory: $(READY) ## 100 uploads onto a slow disk, 100 downloads: under 200 MiB (MIB=205: 20 GiB)
	$(PY) -m tests.load.memory $(if $(MIB),--mib $(MIB))

through: $(READY) ## 50 clients want one blob of 500 MiB of an upstream: it comes once (QUICK=1: 50 MiB)
	$(PY) -m tests.load.through $(if $(QUICK),--mib 50)

soak: $(READY) ## push, pull, delete while collection runs every 100 ms (MINUTES=10) (QUICK=1)
	$(PY) -m tests.soak.run $(if $(QUICK),--quick) $(if $(MINUTES),--minutes $(MINUTES))

rude: $(READY) ## slow and rude clients, one line each (QUICK=1)
	$(PY) -m tests.load.rude $(if $(QUICK),--quick)

logins: $(READY) ## pulls beside a flood of wrong passwords (Go) (QUICK=1)
	$(PY) -m tests.load.logins $(if $(QUICK),--quick)

bench: $(READY) ## beside Debian's docker-registry, alternating, medians (root; Go) (QUICK=1)
	$(PY) -m tests.bench.run $(if $(QUICK),--quick --at-least 0.8,--write-docs)

bench-scale: $(READY) ## a million tags and blobs; collection beside pulls, and by docker-registry's (Go)
	$(PY) -m tests.bench.scale $(if $(BY),--by $(BY))

zb: $(READY) ## zot's load generator, unchanged, without an error (Go)
	$(PY) -m tests.bench.zb $(if $(ZOT),--source $(ZOT))

nightly: test zipapp zipapp-test zipapp-times zipapp-suites appliance-test coverage conformance api damage browser e2e memory through soak rude logins family bench bench-scale ## everything, with ten times the kills
	$(MAKE) crash KILLS=1000
	$(MAKE) conformance crash e2e memory soak rude WORKERS=4

zipapp: $(READY) ## the one file for each machine, in dist/ (SIGNING_KEY=FILE) (MACHINE=x86_64)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[zipapp]'
	$(PY) packaging/zipapp $(if $(SIGNING_KEY),--signing-key $(SIGNING_KEY)) $(if $(MACHINE),--machine $(MACHINE))

zipapp-test: $(READY) ## the one file on unfit hosts, installed, built twice (QUICK=1: once)
	$(PY) -m pytest -q -s tests/zipapp --ignore=tests/zipapp/test_times.py $(if $(QUICK),-m 'not slow')

zipapp-times: $(READY) ## how long the one file takes to start
	$(PY) -m pytest -q -s tests/zipapp/test_times.py

zipapp-conformance: $(READY) ## make conformance with the one file, on every Python of the machine
	set -e; found=$$($(PY) -m tests.zipapp.pythons); for python in $$found; do \
	  $(MAKE) conformance ZIPAPP=$$python; done

zipapp-suites: zipapp-conformance ## the same, and make crash and make e2e (QUICK=1 each)
	set -e; found=$$($(PY) -m tests.zipapp.pythons); for python in $$found; do \
	  $(MAKE) crash e2e QUICK=1 ZIPAPP=$$python; done

appliance-test: $(READY) ## the one file in a booted guest with systemd and without a network (root; Debian)
	$(PY) -m pytest -q -s tests/guest

lock: ## write constraints.txt and packaging/lock.txt anew from the newest versions that pyproject.toml allows
	rm -rf .cache/lock
	$(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip install --quiet -e '.[dev,browser,openapi,zipapp]'
	{ echo '# Made by `make lock`: the versions that development and CI use.'; \
	  .cache/lock/bin/pip freeze --exclude-editable; } > .cache/lock/constraints.txt
	mv .cache/lock/constraints.txt constraints.txt
	.cache/lock/bin/python packaging/zipapp/lock.py
	rm -rf .cache/lock

clean: ## remove everything that these commands made, except ./angos-data
	rm -rf $(VENV) .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed again only when these two files change; made anew only when its Python is gone.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "angos-trio needs Python 3.11 or newer; $(PYTHON) is" \
	    "$$($(PYTHON) -V 2>/dev/null || echo missing). Try: make PYTHON=python3.12" >&2; exit 1; }
	@$(PY) -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
