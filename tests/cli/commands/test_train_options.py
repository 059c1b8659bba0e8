"""The options of `edgecnn train` for workers and settings."""

import re
from pathlib import Path
from typing import Any

import pytest

from edgecnn.cli.commands.train import ClusterOptions, RunOptions
from edgecnn.cli.options import ValidationOptions
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.manifest import Manifest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ClusterOptions(worker=0), "--worker needs --distribute"),
        (ClusterOptions("a:1,b:2"), "name this worker's index with --worker 0 to 1"),
        (ClusterOptions("a:1, b:2", 2), "worker must be 0 to 1, the position in distribute=a:1,b:2, got 2"),
    ],
)
def test_workers_that_cannot_meet_are_refused(options: ClusterOptions, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options.cluster()


def test_an_ordinary_run_has_no_cluster() -> None:
    assert ClusterOptions().cluster() is None
    cluster = ClusterOptions("a:1, b:2", 1, 3).cluster()
    assert cluster
    assert (cluster.addresses, cluster.worker, cluster.wait_seconds) == (("a:1", "b:2"), 1, 3)


def test_what_is_not_said_is_left_to_the_recipe() -> None:
    with pytest.raises(ConfigError, match="recipe=other is unknown: use cosine or notebook"):
        RunOptions(recipe="other").config()
    cosine, notebook = RunOptions().config(), RunOptions(recipe="notebook").config()
    assert (cosine.batch_size, cosine.augment) == (64, None)
    assert (notebook.batch_size, notebook.augment) == (128, None)
    given = RunOptions(recipe="notebook", batch_size=5, augment="photo", epochs=7, filters="1,2,3", network="strided").config()
    assert (given.batch_size, given.augment, given.epochs, given.filters) == (5, "photo", 7, (1, 2, 3))
    assert (given.network, cosine.network) == ("strided", "cnn")


def test_arguments_of_an_own_function_are_in_the_settings() -> None:
    given = RunOptions(model="nets:small", arguments=["width=16", "depth=2"]).config()
    assert (given.model, given.arguments) == ("nets:small", ("width=16", "depth=2"))
    with pytest.raises(ConfigError, match="arguments applies to model=module:function, not to the CNN"):
        RunOptions(arguments=["width=16"]).config()


def test_what_validation_decides_is_in_the_settings() -> None:
    given = RunOptions(class_weights="balanced").config(ValidationOptions(keep="last", patience=3))
    assert (given.class_weights, given.keep, given.patience) == ("balanced", "last", 3)
    plain = RunOptions().config()
    assert (plain.class_weights, plain.keep, plain.patience) == ("none", "best", None)


@pytest.mark.usefixtures("made_here")
def test_validation_shows_in_the_progress_and_the_result_and_the_export_draws_the_same_images(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    typed = ("train", "--data", idx_folder, "--epochs", "2", "--filters", "4,4,4", "--out", "out")
    line = terminal.fails(2, *typed, "--patience", "1")
    assert "--patience needs validation images, which bars does not have: take some of the training images with " in line
    assert "--val-share 0.1, or add a val/" in line
    terminal.passes(*typed, "--val-share", "0.2", "--split-seed", "3", "--class-weights", "balanced", "--patience", "2")
    assert re.search(
        r"^epoch 2/2  loss \d\.\d{4}  accuracy \d\.\d{4}  validation loss \d+\.\d{4}  accuracy \d\.\d{4}  \d+\.\d s$",
        terminal.err,
        re.MULTILINE,
    )
    kept = r"Kept: epoch [12] of 2, the one of lowest validation loss \(loss .* on 48 validation images\)"
    assert re.search(kept, " ".join(terminal.out.split()))
    assert "192 training, 48 validation and 60 test images" in terminal.err
    trained = Manifest.load(Path("out")).dataset
    terminal.passes("export", "out/model.keras", "--format", "tflite", "--quantize", "int8")
    assert Manifest.load(Path("out")).dataset == trained
