"""ncnn's own files: their layout, and what is no such file."""

import io
import shutil
import zipfile
from pathlib import Path

import ncnn  # noqa: F401 - Not installed, these tests are an error, and on an emulated board skipped with that reason.
import numpy as np
import pytest

from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.interface import SCHEMES, Interface
from edgecnn.edge.runtimes import opener_for
from edgecnn.edge.runtimes.ncnn import BIN_NAME, PARAM_NAME, NcnnFile, read_param, unpack


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_file_that_ends_in_softmax_gives_no_logits(precision: str, by_name: Path, tmp_path: Path) -> None:
    shutil.copy(by_name / f"{precision}.ncnn", tmp_path)
    with pytest.raises(ArtifactError, match=r"already probabilities.*ends in Softmax\).*omit logits"):
        Classifier.load(tmp_path / f"{precision}.ncnn", interface=Interface(SCHEMES["unit"], "logits"))


def small(text: str, weights: bytes = b"") -> bytes:
    layers = tuple(read_param(f"7767517\n0 0\n{text}"))
    return NcnnFile(layers, weights).pack()


def test_channels_come_first_and_the_caller_s_image_stays_as_it_is() -> None:
    """A layer that works in place has no other memory than its input's; odd sizes leave gaps between ncnn's channels."""
    data = small("Input in0 0 1 in0 0=5 1=3 2=3\nBinaryOp twice 1 1 in0 out0 0=2 1=1 2=2.0\n")
    runtime = opener_for("ncnn").open_model(data, 1)
    assert (runtime.input_spec.shape, runtime.input_spec.dtype) == ((1, 3, 3, 5), "float32")
    assert runtime.output_spec.shape == (1, 45)
    image = np.arange(45, dtype=np.float32).reshape(1, 3, 5, 3)
    for batch in (np.ascontiguousarray(image.transpose(0, 3, 1, 2)), image.transpose(0, 3, 1, 2)):
        kept = batch.copy()
        first = runtime.run(batch)
        runtime.run(np.zeros_like(batch))
        np.testing.assert_array_equal(first, 2 * kept.reshape(1, -1))
        np.testing.assert_array_equal(batch, kept)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


PARAM = b"7767517\n2 2\nInput in0 0 1 in0 0=4 1=4 2=1\nReLU relu 1 1 in0 out0\n"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (zipped({PARAM_NAME: PARAM}), BIN_NAME),
        (zipped({PARAM_NAME: PARAM, BIN_NAME: b"", "more": b""}), "alone"),
        (zipped({PARAM_NAME: PARAM, BIN_NAME: b""}, zipfile.ZIP_DEFLATED), "stored"),
        (zipped({PARAM_NAME: b"1\n2 2\n", BIN_NAME: b""}), "7767517"),
        (zipped({PARAM_NAME: b"7767517\n2 2\nInput", BIN_NAME: b""}), "can't be read"),
        (small("Input in0 0 1 in0\nReLU relu 1 1 in0 out0"), "no sizes"),
        (small("Input in0 0 1 in0 0=4 1=4 2=1\nNoSuchLayer one 1 1 in0 out0"), "can't load"),
        (small("Input in0 0 1 in0 0=4 1=4 2=1\nSplit s 1 2 in0 a b"), "2 outputs"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_reason(data: bytes, named: str) -> None:
    with pytest.raises(ArtifactError, match=named):
        opener_for("ncnn").open_model(data, 1)


def test_the_file_is_the_same_bytes_each_time_and_holds_what_went_in(by_name: Path) -> None:
    data = (by_name / "int8.ncnn").read_bytes()
    assert unpack(data).pack() == data
