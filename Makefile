# Everything runs in a virtual environment that these rules make; nothing outside it is touched.
PYTHON ?= python3.11
VENV ?= .venv
VENV26 ?= .venv-paddle26
PADDLE ?= 3.3.1
OUT ?= demo_out
MODELS = $(basename $(notdir $(wildcard demo/weights/*.pdparams)))

BIN = $(VENV)/bin
BIN26 = $(VENV26)/bin
# A worker per core, each with one thread: two threads of paddle in each of two workers are slower than one.
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)
XDIST = -m pytest -n $(JOBS) --dist worksteal
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python $(XDIST)

.PHONY: help install demo demo-all test test-fast test-paddle26 lint clean

help:
	@echo "make demo           install, explain a drawn scene with a trained detector, say where the pictures are"
	@echo "make demo-all       the same with every demo detector"
	@echo "make test           install, check the code's form, run all tests"
	@echo "make test-fast      the everyday tests only"
	@echo "make test-paddle26  the smoke part of the tests with paddlepaddle 2.6.2"

install: $(VENV)/.installed

$(VENV)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt "paddlepaddle==$(PADDLE)" -e ".[dev]"
	touch $@

$(VENV26)/.installed: setup.py constraints.txt
	$(PYTHON) -m venv $(VENV26)
	$(BIN26)/python -m pip install --quiet -c constraints.txt "paddlepaddle==2.6.2" -e ".[dev]"
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

test-paddle26: $(VENV26)/.installed
	OMP_NUM_THREADS=1 $(BIN26)/python $(XDIST) -m smoke

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf $(VENV) $(VENV26) $(OUT) build .hypothesis *.egg-info
