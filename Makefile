# Everything runs in a virtual environment that these rules make; nothing outside it is touched.
# PYTHON: the newest supported interpreter, by its usual name or in pyenv's folder.
PYTHON ?= $(firstword $(foreach version,3.13 3.12 3.11 3.10 3.9,$(shell for python in python$(version) \
	$${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(version).*/bin/python; do \
	[ "$$($$python -c 'import sys, ensurepip; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)" = $(version) ] && \
	echo $$python; done)))
VENV ?= .venv
PADDLE ?= paddlepaddle<3.4
OUT ?= demo_out
# A worker per core, each with one thread: two threads of paddle in each of two workers are slower than one.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
MODELS = $(basename $(notdir $(wildcard demo/weights/*.pdparams)))

BIN = $(VENV)/bin
# uv does the same as pip, faster; it is used where it is installed.
PIP = $(if $(shell command -v uv 2> /dev/null),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet)

.PHONY: help install demo demo-all test test-fast test-matrix test-checkout lint clean

help:
	@echo "make demo           install, explain a drawn scene with a trained detector, say where the pictures are"
	@echo "make demo-all       the same with every demo detector"
	@echo "make test           install, check the code's form, run all tests"
	@echo "make test-fast      the everyday tests only"
	@echo "make test-matrix    the smoke part of the tests on Python 3.9 (oldest of everything) to 3.13 (newest), paddle 2.6 to 3.3"
	@echo "make test-checkout PADDLEDETECTION=<folder>   what must hold with the ppdet of a PaddleDetection checkout"

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "no Python 3.9 to 3.13 is found, by name or in pyenv's folder; name one: make PYTHON=<path>"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt "$(PADDLE)" -e ".[cpu,dev]"
	$(PIP) --no-deps paddledet==2.6.0  # its own bounds would replace numpy
	touch $@

# Explains a drawn scene with one of the trained demo detectors.
define explain
$(BIN)/cam_ppdet -c configs/demo/$(1).yml --infer_img demo/drawn/scene_1.jpg --cam_out $(OUT)/$(1)
@echo "Pictures: $(CURDIR)/$(OUT)/$(1)/*.jpg"

endef

demo: install
	$(call explain,ppyoloe)

demo-all: install
	$(foreach model,$(MODELS),$(call explain,$(model)))

test: install lint
	$(PYTEST) -m ""

test-fast: install
	$(PYTEST) -m "not slow"

test-matrix:
	$(if $(PYTHON),$(PYTHON),python3) tests/environments.py $(LEGS)

test-checkout: install
	@[ -d "$(PADDLEDETECTION)/ppdet" ] || { echo "name a PaddleDetection checkout: make test-checkout PADDLEDETECTION=<folder>"; exit 1; }
	cd "$(PADDLEDETECTION)" && echo "ppdet of $$PWD"
	PPDET_CAM_PPDET="$(abspath $(PADDLEDETECTION))" $(PYTEST) -m smoke
	PPDET_CAM_PPDET="$(abspath $(PADDLEDETECTION))" $(PYTEST) -m "" \
		tests/detectors/test_family_contracts.py tests/commands/test_documented_commands.py tests/demo/test_checkout_detectors.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf $(VENV) .venvs $(OUT) build .hypothesis *.egg-info
