# make demo: train, export, measure and judge.   make test: lint, types and all tests; CI adds make test-pi-ci.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check unit test-pi test-pi-ci arm-cost arm-cost-baseline peers install constraints clean

demo: install
	$(BIN)/edgecnn train
	$(BIN)/edgecnn export
	$(BIN)/edgecnn bench

test: check unit

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two at a time, a file of tests at a time: the long ones first, so that none is left alone at the end.
unit: install
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/end_to_end tests

# On emulated Raspberry Pis: all of them, or make test-pi BOARDS="trixie-arm64-pi4 bookworm-armhf-pi2". docs/arm.md
test-pi: install
	$(BIN)/python -m tests.pi.prove $(BOARDS)

test-pi-ci: install
	$(BIN)/python -m tests.pi.prove --quick trixie-arm64-pi5

arm-cost: install
	$(BIN)/python -m tests.pi.cost

arm-cost-baseline: install
	$(BIN)/python -m tests.pi.cost --update

# The same weights in other runtimes, beside ours: make peers MODEL=artifacts/mnist. docs/peers.md
PEERS := .venv-peers
MODEL ?= artifacts/mnist

peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m tests.peers.compare $(MODEL) --json artifacts/peers.json

$(PEERS)/.installed: pyproject.toml constraints.txt tests/peers/constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --constraint constraints.txt --upgrade pip
	@echo "Installing other runtimes into $(PEERS) (2 GB; several more with the torch that brings CUDA)"
	$(PEERS)/bin/pip install --quiet --constraint constraints.txt --editable '.[tflite,onnx]'
	$(PEERS)/bin/python -m tests.peers.install
	touch $@

# Every promised figure, an hour; or some: make benchmark PARTS="startup predict". docs/benchmark.md
benchmark: install
	$(BIN)/python -m tests.promises $(PARTS)

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
	rm -rf $(VENV) $(PEERS) build *.egg-info
