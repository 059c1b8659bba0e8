"""The server, its camera and the page without a server have each file's threshold."""

import json
from pathlib import Path

import pytest

from edgecnn.edge.data.splits import Split
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import FittedPicture
from edgecnn.edge.model_folder import ModelFolder
from tests.edge.inference.thresholds import with_threshold

pytest.importorskip("starlette", reason="the serve extra is not installed")

from edgecnn.edge.serving.decoder import Decoder
from edgecnn.edge.serving.engine import Asked, Engine
from edgecnn.edge.serving.export_page import WebRuntime, write_page
from edgecnn.edge.serving.metrics import Metrics
from edgecnn.edge.serving.models import ModelSource


@pytest.mark.parametrize(("least", "accepted"), [(1.0, False), (0.0, True), (None, None)])
def test_an_answer_says_whether_it_is_accepted_and_by_what(
    least: float | None, accepted: bool | None, artifacts: Path, test_split: Split
) -> None:
    if least is not None:
        with_threshold(artifacts, least)
    open_file = lambda model: Classifier.load(model.path)  # noqa: E731 - Of these files alone.
    models = ModelSource((artifacts / "int8.tflite",), open_file, lambda folder: None).load()
    decoder = Decoder(1)
    engine = Engine(models, decoder, 4, Metrics())
    try:
        picture = FittedPicture(test_split.images([5])[0])
        found = engine.answered({models.files[0].rule: picture}, Asked(models.files, None, 1, pixels=False))
    finally:
        engine.close()
    (answer,) = found["answers"]
    assert answer["accepted"] is accepted
    assert answer["threshold"] == (None if least is None else {"score": "probability", "least": least, "most": None})


def test_a_page_without_a_server_has_the_threshold_of_each_file(artifacts: Path, tmp_path: Path) -> None:
    with_threshold(artifacts, 0.75)
    with ModelFolder(artifacts) as models:
        write_page(models, tmp_path / "page", WebRuntime("onnxruntime-web 1", {}))
    inputs = json.loads((tmp_path / "page" / "model.json").read_text())["inputs"]
    expected = {"score": "probability", "least": 0.75, "most": None}
    assert [inputs[name]["threshold"] for name in ("float32.onnx", "int8.onnx")] == [expected] * 2
