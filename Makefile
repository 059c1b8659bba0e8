# make demo: train, export, measure and judge.   make test: lint, types and all tests; CI adds make test-pi-ci.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.installed-tools

# Tests start thousands of processes, each of which would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# A checkout by a git that makes no links, as on Windows, has a small file in the place of each.
$(shell for room in edge convert benchmarks; do [ -L edgecnn/$$room ] || ln -sfn ../$$room edgecnn/$$room; done)

.PHONY: demo test check quick unit coverage micro mediapipe test-pi test-pi-ci device-wheel dist executorch arm-cost arm-cost-baseline torture torture-ci repairs benchmark docs docs-outputs recording install constraints clean

demo: $(INSTALLED)
	$(BIN)/edgecnn train
	$(BIN)/edgecnn export
	@echo $(BIN)/edgecnn bench
	@$(BIN)/edgecnn bench; code=$$?; printf '\nTo type edgecnn yourself, activate its environment first: source %s/bin/activate\n' $(VENV); exit $$code

test: check unit

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A file of tests at a time, in three processes: many wait for a child.
PYTEST := --numprocesses 3 --dist loadfile --no-loadscope-reorder

# What needs no TensorFlow, browser, ssh or emulator, and simulates little: while you write. tests/slow.py says what is left out.
quick: install
	$(BIN)/pytest --quiet -m "not slow" --numprocesses 2

unit: install
	$(BIN)/pytest --durations 15 $(PYTEST)

# Once over all tests, children too, half as long again: the lines that no test reaches. Three are left out: their children
# may not write, and coverage's own file is what fails there.
UNWRITABLE := tests/cli/test_command_line_errors.py::test_a_limit_of_file_size_is_one_line_also_from_a_child \
	tests/cli/test_command_line_errors.py::test_where_no_temporary_file_can_be_written_predict_works \
	tests/tools/test_faults_kills.py::test_a_command_that_writes_whole_files_is_never_torn

coverage: install
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST) $(addprefix --deselect=,$(UNWRITABLE))
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# What a microcontroller's compiler makes of the sources for tflite-micro. Debian: apt-get install --no-install-recommends
# gcc-arm-none-eabi, 540 MB installed. make test skips these tests without it.
micro: install
	$(BIN)/pytest -n 0 -rs tests/convert/integrations

# On emulated Raspberry Pis: all of them, or make test-pi BOARDS="trixie-arm64-pi4 bookworm-armhf-pi2". docs/explanation/arm.md
test-pi: install
	$(BIN)/python -m tools.pi.prove $(BOARDS)

test-pi-ci: install
	$(BIN)/python -m tools.pi.prove --quick trixie-arm64-pi5

arm-cost: install
	$(BIN)/python -m tools.pi.cost

arm-cost-baseline: install
	$(BIN)/python -m tools.pi.cost --update

# Every promised figure, more than four hours; or some: make benchmark PARTS="startup predict". docs/explanation/benchmark.md
benchmark: install
	$(BIN)/python -m tools.claims $(PARTS)

# Whether MediaPipe answers as edgecnn does: it brings OpenCV, so it has an environment of its own.
MEDIAPIPE := .venv-mediapipe

mediapipe: install $(MEDIAPIPE)/.installed
	MEDIAPIPE_PYTHON=$(CURDIR)/$(MEDIAPIPE)/bin/python $(BIN)/pytest --quiet -n 0 tests/convert/tflite/test_mediapipe.py

$(MEDIAPIPE)/.installed:
	$(PYTHON) -m venv $(MEDIAPIPE)
	@echo "Installing MediaPipe into $(MEDIAPIPE) (650 MB)"
	$(MEDIAPIPE)/bin/pip install --quiet mediapipe==1.2.3
	touch $@

# The tests that need ExecuTorch, in an environment of their own. On x86-64, install a torch without CUDA there first.
EXECUTORCH := .venv-executorch

executorch: $(EXECUTORCH)/.installed
	$(EXECUTORCH)/bin/pytest --quiet -n 0 tests/convert/test_executorch.py tests/edge/runtimes/test_executorch.py

$(EXECUTORCH)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(EXECUTORCH)
	$(EXECUTORCH)/bin/pip install --quiet --constraint constraints.txt --upgrade pip
	@echo "Installing TensorFlow, PyTorch and ExecuTorch into $(EXECUTORCH) (4 GB; several more with the torch that brings CUDA)"
	$(EXECUTORCH)/bin/pip install --quiet --constraint constraints.txt --editable '.[all,executorch]' --group dev
	$(EXECUTORCH)/bin/pip install --quiet --constraint constraints.txt --no-deps pnnx
	touch $@

# Altered files, kills, shortages and false verdicts, in two hours and in two minutes. docs/explanation/torture.md
torture: install
	$(BIN)/python -m tools.faults --seed 1 --files 10000 --kills 1000 --deploys 1000 --scarce 100 --pairs 20

torture-ci: install
	$(BIN)/python -m tools.faults --seed 1 --files 150 --kills 6 --deploys 6 --scarce 3 --pairs 1

# Public int8 files and edgecnn's, beside their float files: docs/explanation/repairs.md. It clones what the folder lacks.
REPOSITORIES ?= .cache/repairs

repairs: install
	$(BIN)/python -m tools.repairs --folder $(REPOSITORIES)

# For a board: without MNIST's training images, which it does not need.
device-wheel: install
	$(BIN)/python -m tools.device_wheel dist

# What a release has: the source distribution, and the wheel that is built from it.
DIST := .venv-dist

dist: $(DIST)/.installed
	rm -rf dist
	$(DIST)/bin/python -m build
	$(DIST)/bin/twine check --strict dist/*

$(DIST)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DIST)
	$(DIST)/bin/pip install --quiet --constraint constraints.txt --upgrade pip
	$(DIST)/bin/pip install --quiet --constraint constraints.txt --group dist
	touch $@

MODEL ?= artifacts/mnist

# A terminal that exports and measures MODEL: docs/images/demo.svg
recording: install
	$(BIN)/python -m tools.recording $(MODEL) docs/images/demo.svg

# The documentation: site/index.html. A broken link or a page that is not in zensical.toml fails.
DOCS := .venv-docs

docs: $(DOCS)/.installed
	$(DOCS)/bin/python -m tools.command_help build/help
	$(DOCS)/bin/python -m tools.json_schemas docs/reference/schemas
	$(DOCS)/bin/zensical build --clean --strict

# Run the commands that README.md and docs/ show, and write what they print below them.
docs-outputs: install
	$(BIN)/python -m tools.docs_outputs

$(DOCS)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --constraint constraints.txt --upgrade pip
	$(DOCS)/bin/pip install --quiet --constraint constraints.txt --editable . --group docs
	touch $@

# What users need, and for everything but the demo what contributors need besides: other runtimes, checkers, test tools.
install: $(TOOLS)

# Installs again only when what is to be installed has changed. Python compiles what it imports: pip would compile
# fifteen thousand modules, of which most are never imported.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --upgrade pip
	@echo "Installing TensorFlow, LiteRT, ONNX Runtime and the rest into $(VENV) (a minute or two)"
	$(BIN)/pip install --no-compile --constraint constraints.txt --editable '.[all]'
	touch $@

$(TOOLS): $(INSTALLED)
	$(BIN)/pip install --no-compile --constraint constraints.txt --group dev
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps pnnx # Its program needs no torch, which it asks for.
	touch $@

# The newest versions that pip finds, in a new environment. Run make test before committing them.
constraints:
	rm -rf $(VENV)-constraints
	$(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/pip install --quiet --upgrade pip
	$(VENV)-constraints/bin/pip install --quiet '.[all]' --group dev --group dist --group docs
	$(VENV)-constraints/bin/pip install --quiet --no-deps pnnx
	{ sed -n '/^#/p' constraints.txt; $(VENV)-constraints/bin/pip freeze --all --exclude edgecnn; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) $(DIST) $(DOCS) site build dist *.egg-info
