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


def test_a_child_that_ends_without_python_s_shutdown_leaves_nothing_where_there_is_no_home_folder(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MPL", "XDG_"))}
    code = "import os; from edgecnn.convert.keras.load import load_keras; load_keras(); os._exit(0)"
    homeless = {**environment, "HOME": "/proc/nope", "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=homeless, check=True)
    assert list(tmp_path.iterdir()) == []


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


def kernels(code: str, *arguments: str, setting: str | None = None) -> tuple[str, ...]:
    """Run code that imports TensorFlow; return what it prints, whether it has oneDNN's kernels, and the variable then."""
    environment = {name: value for name, value in os.environ.items() if name != ONEDNN}
    environment |= {ONEDNN: setting} if setting else {}
    command = [sys.executable, "-c", f"{BEFORE}\n{code}\n{AFTER}", *arguments]
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


def test_who_sets_the_variable_decides() -> None:
    assert kernels(f"with load.kernels_to_train():\n    {IMPORTED}", setting="0") == ("False", "0")


def test_other_commands_leave_the_choice_to_tensorflow() -> None:
    # Once TensorFlow is imported, training changes nothing.
    assert kernels(f"{IMPORTED}\nwith load.kernels_to_train():\n    {IMPORTED}") == kernels("import tensorflow")
