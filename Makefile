# Two commands matter: `make run` starts the box, `make test` proves it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# --no-deps: the lock files are complete, and leave out what has no wheel for this Python.
INSTALL := $(PIP) install --quiet --no-deps --only-binary :all: --require-hashes
UV ?= $(firstword $(wildcard $(BIN)/uv) uv)
COMPILE := UV_CACHE_DIR=build/uv $(UV) pip compile --quiet --universal --python-version 3.10 \
	--generate-hashes --only-binary :all: --override requirements/overrides.in --no-emit-index-url --custom-compile-command 'make lock' $(UPGRADE)
CATALOGUES := edge/web/translations

.DELETE_ON_ERROR:
.PHONY: help install run test system-packages torture bench lock translations clean

help:
	@echo 'make install       set up the box in $(VENV)'
	@echo 'make run           set up, start the box, send two example studies to it'
	@echo 'make test          set up, then check and test everything'
	@echo 'make torture       measure what the box withstands, in full (ROWS=9,10 SEED=1 AGAIN=1)'
	@echo 'make bench         measure the reading of a radiograph on this machine'
	@echo 'make lock          write the lock files anew (UPGRADE=--upgrade for newer packages)'
	@echo 'make translations  collect the texts of the page and compile its languages'
	@echo 'make clean         remove what was built and installed; keeps stored studies'

install: $(VENV)/install.stamp

run: $(VENV)/demo.stamp
	$(BIN)/chest-edge serve --demo

test: $(VENV)/test.stamp system-packages
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

torture: $(VENV)/test.stamp system-packages
	$(BIN)/python -m tests.faults.torture

bench: $(VENV)/demo.stamp
	$(BIN)/python -m models.evaluation.speed

$(VENV)/venv.stamp:
	@command -v $(PYTHON) >/dev/null || { \
		echo 'Python is missing. On Debian or Ubuntu: sudo apt-get install python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo 'Python 3.10 or newer is needed. Name one: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'Python cannot make virtual environments here.' >&2; \
		echo 'On Debian or Ubuntu: sudo apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/build.stamp: requirements/build.txt $(VENV)/venv.stamp
	$(INSTALL) -r $<
	@touch $@

# --no-index: the package itself is built from this folder, with nothing fetched.
$(VENV)/install.stamp: requirements/run.txt pyproject.toml edge/__init__.py $(VENV)/build.stamp
	$(INSTALL) -r $<
	$(PIP) install --quiet --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/demo.stamp: requirements/demo.txt $(VENV)/install.stamp
	$(INSTALL) -r $<
	@touch $@

$(VENV)/test.stamp: requirements/test.txt $(VENV)/install.stamp
	$(INSTALL) -r $<
	@touch $@

system-packages:
	@tests/support/system-packages

lock:
	@command -v $(UV) >/dev/null || { echo 'uv is missing: $(BIN)/python -m pip install uv' >&2; exit 1; }
	$(COMPILE) -o requirements/build.txt requirements/build.in
	$(COMPILE) -o requirements/run.txt -c requirements/build.txt pyproject.toml
	$(COMPILE) -o requirements/demo.txt -c requirements/build.txt -c requirements/run.txt --extra demo pyproject.toml
	$(COMPILE) -o requirements/test.txt -c requirements/build.txt -c requirements/run.txt --extra demo --extra test pyproject.toml
	@! grep -nE '://|--index-url|--find-links|file:|^ *#.* /' requirements/*.txt || { \
		echo 'A lock file names a registry or a path of this machine.' >&2; exit 1; }

translations: $(VENV)/test.stamp
	@mkdir -p build
	$(BIN)/pybabel extract --mapping $(CATALOGUES)/babel.cfg --keyword N_ --add-location file --sort-by-file \
		--no-wrap --project 'Chest Edge' --output build/messages.pot edge
	$(BIN)/pybabel update --input-file build/messages.pot --output-dir $(CATALOGUES) \
		--no-fuzzy-matching --ignore-obsolete --no-wrap --ignore-pot-creation-date
	$(BIN)/pybabel compile --directory $(CATALOGUES)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find edge models calibration tests -name __pycache__ -type d -prune -exec rm -rf {} +
