"""TensorFlow is imported late, and its absence is reported in one line."""

import logging
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import numpy as np
import pytest

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.convert.training.fit.augmentation import varied
from edgecnn.convert.training.recipes import Augment
from edgecnn.edge.errors import MissingDependency


def test_a_missing_tensorflow_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    load_tensorflow.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for load in (load_tensorflow, load_keras):
        with pytest.raises(MissingDependency, match=r"TensorFlow is not installed.*pip install.*'tensorflow"):
            load()


def test_a_batch_that_is_prepared_in_a_thread_holds_back_nothing() -> None:
    images, rng = np.zeros((1, 8, 8, 1), np.uint8), np.random.default_rng(0)
    varied("digit", images, rng)
    with patch("edgecnn.convert.keras.load.quiet", side_effect=AssertionError("it captures what other threads write")):
        for augment in get_args(Augment):
            varied(augment, images, rng)


def test_neither_a_sweep_s_traced_networks_nor_a_conversion_s_folder_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load_tensorflow()
    load_tensorflow()
    log = logging.getLogger("tensorflow")
    log.addHandler(caplog.handler)
    try:
        log.warning("%s triggered tf.function retracing", "5 out of the last 7 calls")
        log.warning("Assets written to: %s", "/tmp/edgecnn-1/assets")  # noqa: S108  # As TensorFlow's SavedModel says it.
        log.warning("something else")
    finally:
        log.removeHandler(caplog.handler)
    assert set(caplog.messages) == {"something else"}


# In processes of their own: TensorFlow chooses its kernels once, while it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
BEFORE = "import os, sys; from pathlib import Path; from edgecnn.convert.keras import load"
IMPORTED = "load.load_tensorflow()"
TRAINING = """
import edgecnn as ec
config = ec.TrainConfig(epochs=1, filters=(4, 4, 4))
ec.train(Path(sys.argv[1]), Path(sys.argv[2]), config=config)
"""
AFTER = f"""
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled(), os.environ.get("{ONEDNN}"))
"""


def kernels(code: str, *arguments: str, end: str = "", without: tuple[str, ...] = (), **settings: str) -> tuple[str, ...]:
    """Run code that imports TensorFlow; return what it prints, whether it has oneDNN's kernels, and the variable then."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith((ONEDNN, *without))} | settings
    command = [sys.executable, "-c", f"{BEFORE}\n{code}\n{AFTER}\n{end}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return tuple(done.stdout.split())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere TensorFlow chooses")
def test_training_takes_onednn_and_its_children_choose_for_themselves(idx_folder: Path, tmp_path: Path) -> None:
    assert kernels(TRAINING, str(idx_folder), str(tmp_path)) == ("True", "None")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere TensorFlow chooses")
@pytest.mark.parametrize(
    "call",
    [
        "ec.train(data, config=ec.TrainConfig(model='own_nets:missing'), interface='unit')",
        "ec.sweep(data=data, networks=['own_nets:missing'], interface='unit')",
    ],
)
def test_a_users_module_that_imports_keras_first_gets_them_too(
    call: str, idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own_nets.py").write_text(f"import os, keras\nprint(os.environ.get('{ONEDNN}'), end=' ')\n")
    code = f"import edgecnn as ec\ndata = sys.argv[1]\ntry:\n    {call}\nexcept ec.ConfigError:\n    pass"
    assert kernels(code, str(idx_folder)) == ("1", "True", "None")


@pytest.fixture(scope="module")
def homeless(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[str, ...], Path]:
    """What a child says of its kernels where the variable is 0 and there is no home folder, and its temporary folder."""
    folder = tmp_path_factory.mktemp("homeless")
    code = "with load.kernels_to_train():\n    load.load_keras()"
    settings = {ONEDNN: "0", "HOME": "/proc/nope", "TMPDIR": str(folder)}
    return kernels(code, end="sys.stdout.flush()\nos._exit(0)", without=("MPL", "XDG_"), **settings), folder


def test_a_child_that_ends_without_python_s_shutdown_leaves_nothing_where_there_is_no_home_folder(
    homeless: tuple[tuple[str, ...], Path],
) -> None:
    assert list(homeless[1].iterdir()) == []


def test_who_sets_the_variable_decides(homeless: tuple[tuple[str, ...], Path]) -> None:
    assert homeless[0] == ("False", "0")


def test_other_commands_leave_the_choice_to_tensorflow() -> None:
    # Once TensorFlow is imported, training changes nothing.
    assert kernels(f"{IMPORTED}\nwith load.kernels_to_train():\n    {IMPORTED}") == kernels("import tensorflow")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere TensorFlow chooses")
def test_other_processes_are_told_the_kernels_that_a_training_in_this_one_has() -> None:
    told = f"print(load.kernels_of_training()['{ONEDNN}'])"
    code = f"{told}\nos.environ['{ONEDNN}'] = '0'\n{told}\n{IMPORTED}\ndel os.environ['{ONEDNN}']\n{told}"
    assert kernels(code) == ("1", "0", "0", "False", "None")
