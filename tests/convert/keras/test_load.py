"""TensorFlow is imported late, and its absence is reported in one line."""

import logging
import sys

import pytest

from edgecnn.convert.keras.load import load_keras, load_tensorflow
from edgecnn.edge.errors import MissingDependency


def test_a_missing_tensorflow_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for load in (load_tensorflow, load_keras):
        with pytest.raises(MissingDependency, match=r"TensorFlow is not installed\. .*: pip install .*'tensorflow"):
            load()


def test_a_sweep_does_not_warn_that_each_network_is_traced(caplog: pytest.LogCaptureFixture) -> None:
    load_tensorflow()
    load_tensorflow()
    log = logging.getLogger("tensorflow")
    log.addHandler(caplog.handler)
    try:
        log.warning("%s triggered tf.function retracing", "5 out of the last 7 calls")
        log.warning("something else")
    finally:
        log.removeHandler(caplog.handler)
    assert set(caplog.messages) == {"something else"}
