"""A small dataset, files exported from a model trained on it, and a terminal to run commands in."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgecnn.__main__ import main
from edgecnn.benchmarks.measure import planning
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.data.splits import Split
from edgecnn.edge.manifest import Manifest
from edgecnn.edge.result import Silent
from edgecnn.edge.sandbox.unverified import remember_made
from tests.drawings import write_idx_folder
from tests.slow import reason

KEPT = Path(__file__).parent / "kept"

# Files opened by tests are not recorded in the user's cache; matplotlib's cache there takes long to make again.
os.environ.setdefault("MPLCONFIGDIR", str(Path("~/.cache/matplotlib").expanduser()))
_CACHE = tempfile.TemporaryDirectory(prefix="tests-of-edgecnn-")
os.environ["XDG_CACHE_HOME"] = _CACHE.name

# Tests run two at a time, with children of their own: more threads each would only wait for one another.
for _threads in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# Otherwise children compile all our modules again, which costs a minute for a suite with a thousand children.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# GNU readline, which pytest imports, sets a width for all children behind Python's back: messages would wrap.
os.environ.pop("COLUMNS", None)
os.unsetenv("COLUMNS")

# A shell ignores Ctrl-C for what runs in its background, nohup a hang-up, and children inherit that: some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    """Hide what the quick tests do without, so that a slow one without its mark fails."""
    if config.option.markexpr == "not slow":
        sys.modules.update(dict.fromkeys(("tensorflow", "keras", "selenium")))  # type: ignore[arg-type] # None: can't be imported.


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files of slow tests where these are not wanted: to import some of them takes TensorFlow."""
    if config.option.markexpr == "not slow" and reason(_below_tests(collection_path)):
        return True
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests; begin with whole chains, and end with quick files: a long one at the end keeps the others waiting."""
    slow = set[Path]()
    for item in items:
        if why := reason(f"{_below_tests(item.path)}::{item.name}"):
            item.add_marker(pytest.mark.slow(why=why))
            slow.add(item.path)
    items.sort(key=lambda item: ("end_to_end" not in item.path.parts, item.path not in slow))


def _below_tests(path: Path) -> str:
    return path.relative_to(KEPT.parent).as_posix()


@pytest.fixture(autouse=True, scope="module")
def earlier_objects_are_not_searched() -> None:
    """Keep the objects of earlier files of tests out of the search for garbage that TensorFlow's converter makes each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An IDX folder of 240 training and 60 test images (12, 12, 1) of 3 classes. Do not write to it."""
    return write_idx_folder(tmp_path_factory.mktemp("images") / "bars")


@pytest.fixture(scope="session")
def test_split(idx_folder: Path) -> Split:
    """The 60 test images of `exported`."""
    return load_test(idx_folder)


@pytest.fixture(scope="session")
def exported(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained model and every file that edgecnn exports. Do not write to it; `artifacts` is a copy."""
    return _copied("bars", idx_folder, tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def three_files(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like `exported` whose manifest lists model.keras and three others. Do not write to it."""
    folder = tmp_path_factory.mktemp("three") / "bars"
    shutil.copytree(exported, folder)
    manifest = Manifest.load(folder)
    names = ("model.keras", "float32.tflite", "int8.tflite", "float32.onnx")
    kept = tuple(artifact for artifact in manifest.artifacts if artifact.path in names)
    replace(manifest, artifacts=kept).save(folder)
    return folder


@pytest.fixture(scope="session")
def any_batch(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some files of a folder like `exported` that take any number of images at a time. Do not write to it."""
    return _copied("any_batch", idx_folder, tmp_path_factory.mktemp("any"))


@pytest.fixture(scope="session")
def by_name(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of `exported`'s model in the formats that are exported only if named. Do not write to it."""
    return _copied("by_name", idx_folder, tmp_path_factory.mktemp("named"))


@pytest.fixture(scope="session")
def remembering(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an LSTM, whose .tflite file keeps its state between calls. Do not write to it."""
    return _copied("lstm", idx_folder, tmp_path_factory.mktemp("remembering"))


def _copied(name: str, images: Path, parent: Path) -> Path:
    """Copy a folder of tests/kept with its images' place; its files, made by tests/kept/make.py, need no trial."""
    folder = Path(shutil.copytree(KEPT / name, parent / "bars"))
    for path in folder.iterdir():
        remember_made(path.read_bytes())
    manifest = Manifest.load(folder)
    replace(manifest, dataset=replace(manifest.dataset, source=str(images))).save(folder)
    return folder


@pytest.fixture
def made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files saved by a test with Keras are not tried in a child process, which imports TensorFlow for each new file.

    They are recorded like files of `edgecnn train`. tests/test_unverified.py tests the trial.
    """
    import keras  # noqa: PLC0415 - Tests of edge run without Keras.

    save = keras.Model.save

    def saved(model: Any, path: str | Path, **options: Any) -> None:
        save(model, path, **options)
        remember_made(Path(path).read_bytes())

    monkeypatch.setattr(keras.Model, "save", saved)


@pytest.fixture(scope="module")
def one_stage() -> Iterator[None]:
    """The CNN has its first stage alone, for tests that do not ask what it is: each training is traced in half the time."""
    import keras  # noqa: PLC0415 - Tests of edge run without Keras.

    from edgecnn.convert.training.model import networks  # noqa: PLC0415 - As above.

    def build(shape: tuple[int, int, int], classes: int, dropout: float = 0.5, filters: tuple[int, ...] = (4,)) -> Any:
        layers = keras.layers
        stage = [layers.Conv2D(filters[0], 3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        head = [layers.Flatten(), layers.Dropout(dropout), layers.Dense(classes, activation="softmax")]
        return keras.Sequential([layers.Input(shape, name="image"), *stage, *head])

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(networks.NETWORKS, "cnn", networks.NETWORKS["cnn"]._replace(build=build))
        yield


@pytest.fixture
def artifacts(exported: Path, tmp_path: Path) -> Path:
    """A copy of `exported` to break."""
    folder = tmp_path / "bars"
    shutil.copytree(exported, folder, ignore=shutil.ignore_patterns("logs", "checkpoint"))
    return folder


@pytest.fixture(scope="module")
def few_launches() -> Iterator[None]:
    """Two short launches of each file, for tests to which the times don't matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "_LAUNCHES", 2)
        patch.setattr(planning, "_MOST_CHOSEN", 2)
        patch.setattr(planning, "_ROUND_SECONDS", 0.005)
        yield


@pytest.fixture(scope="session")
def bad_network(idx_folder: Path) -> Any:
    """A `BadNetwork`, for which 8 bits are too few."""
    from tests.bad_network import bad_network  # noqa: PLC0415 - It imports TensorFlow.

    return bad_network(idx_folder)


class Lines(Silent):
    """Progress that keeps its lines, in a list of the test's own if it has one."""

    def __init__(self, lines: list[str] | None = None) -> None:
        self.lines: list[str] = [] if lines is None else lines

    def say(self, text: str) -> None:
        self.lines.append(text)


class Terminal:
    """Runs a command and keeps its output."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def passes(self, *arguments: str | Path) -> str:
        """Run a command that must succeed, and return its output."""
        assert self.run(*arguments) == 0, self.err
        assert not self._complaints()
        return self.out

    def fails(self, code: int, *arguments: str | Path) -> str:
        """Run a command that must fail with this code, and return its error line."""
        assert self.run(*arguments) == code, self.err
        (line,) = self._complaints()
        assert self.err.endswith(f"{line}\n")
        assert "Traceback" not in self.err
        return line

    def _complaints(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("edgecnn: ")]


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with `own_nets.py`."""
    from tests.convert.training.own_nets import MODULE  # noqa: PLC0415  # It imports what a board does not have.

    (tmp_path / "own_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("own_nets", None)
    yield tmp_path / "own_nets.py"
    sys.modules.pop("own_nets", None)
