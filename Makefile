# Everything runs in a virtual environment that these rules make; nothing outside it is touched.
PYTHON ?= python3.11
VENV ?= .venv
VENV26 ?= .venv-paddle26
PADDLE ?= 3.3.1
OUT ?= demo_out

BIN = $(VENV)/bin
BIN26 = $(VENV26)/bin

.PHONY: help install demo test test-fast test-paddle26 lint clean

help:
	@echo "make demo           install, explain a photograph, say where the pictures are"
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

demo: install
	@mkdir -p $(OUT)
	$(BIN)/python demo/seeded_weights.py -c configs/ssd/ssd_mobilenet_v1_300_120e_voc.yml \
		--infer_img demo/coffee.jpg --out $(OUT)/seeded_ssd.pdparams
	$(BIN)/cam_ppdet -c configs/ssd/ssd_mobilenet_v1_300_120e_voc.yml --infer_img demo/coffee.jpg \
		--cam_out $(OUT)/ssd -o weights=$(OUT)/seeded_ssd.pdparams
	@echo "The weights are seeded, not trained: the boxes and maps show that the chain runs, and mean nothing else."
	@echo "Pictures: $(CURDIR)/$(OUT)/ssd/*.jpg"

test: install lint
	$(BIN)/python -m pytest -m ""

test-fast: install
	$(BIN)/python -m pytest -m "not slow"

test-paddle26: $(VENV26)/.installed
	$(BIN26)/python -m pytest -m smoke

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(VENV26) $(OUT) build *.egg-info
