# make demo: train, export, measure and judge.   make test: everything that CI runs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check unit install constraints clean

demo: install
	$(BIN)/edgecnn train
	$(BIN)/edgecnn export
	$(BIN)/edgecnn bench

test: check unit

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: install
	$(BIN)/pytest

install: $(INSTALLED)

# Installs again only when what is to be installed has changed.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --upgrade pip
	@echo "Installing TensorFlow, LiteRT, ONNX Runtime and the rest into $(VENV) (a minute or two)"
	$(BIN)/pip install --constraint constraints.txt --editable '.[all]' --group dev
	touch $@

# The newest versions that pip finds, in a new environment. Run make test before committing them.
constraints:
	rm -rf $(VENV)-constraints
	$(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/pip install --quiet --upgrade pip
	$(VENV)-constraints/bin/pip install --quiet '.[all]' --group dev
	{ sed -n '/^#/p' constraints.txt; $(VENV)-constraints/bin/pip freeze --all --exclude edgecnn; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) build *.egg-info
