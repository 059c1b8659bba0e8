"""TensorFlow is imported late, and its absence is reported in one line."""

import sys

import pytest

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.edge.errors import MissingDependency


def test_a_missing_tensorflow_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for load in (load_tensorflow, load_keras):
        with pytest.raises(MissingDependency, match=r"TensorFlow is not installed\. .*: pip install .*'tensorflow"):
            load()
