"""What another library says, quoted: its sentences stay apart."""

import re
from pathlib import Path

import pytest

from edgecnn.edge.errors import ArtifactError, why
from edgecnn.edge.runtimes import opener_for


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (
            "XNNPack delegate failed to reshape runtimeNode number 8 (Delegate) failed to prepare.",
            "XNNPack delegate failed to reshape runtime. Node number 8 (Delegate) failed to prepare.",
        ),
        (
            "a fixed-size tensor.Node number 5 (RESHAPE) failed to prepare.Failed to apply the default delegate.",
            "a fixed-size tensor. Node number 5 (RESHAPE) failed to prepare. Failed to apply the default delegate.",
        ),
        ("an old binary with newer model?Registration failed.\n", "an old binary with newer model? Registration failed."),
        ("bytes was not true.Tensor 4 is invalid.\n", "bytes was not true. Tensor 4 is invalid."),
        ("has 18 tensors\nAllocateTensors() called on it.", "has 18 tensors. AllocateTensors() called on it."),
        ("overflowed.\nTensor 6 is invalid.", "overflowed. Tensor 6 is invalid."),
        ("about Tensor 6 (Node number 3): kept.Whole", "about Tensor 6 (Node number 3): kept.Whole"),
    ],
)
def test_sentences_that_a_runtime_glues_together_are_quoted_apart(said: str, quoted: str) -> None:
    assert why(RuntimeError(said)) == quoted


def test_so_are_those_that_litert_says_of_a_damaged_file(exported: Path) -> None:
    data = (exported / "float32.tflite").read_bytes()
    said = []
    # A sparse search finds the fields of operators, which the runtime looks at when it prepares them.
    for place in range(1700, 2000, 4):
        damaged = bytearray(data)
        damaged[place] ^= 3
        try:
            opener_for("tflite").open_model(bytes(damaged), 1)
        except ArtifactError as error:
            said.append(str(error))
    assert any("Node number" in text for text in said)
    assert not [text for text in said if re.search(r"[^\s(](Node number|Failed to apply|Registration failed)", text)]
