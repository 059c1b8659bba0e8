"""The options of `edgecnn train` for its settings."""

import re
from pathlib import Path
from typing import Any

import pytest

from edgecnn.__main__ import main
from edgecnn.edge.manifest import Manifest
from edgecnn.shell.call import Call


def called(*typed: str) -> dict[str, Any]:
    """Return the arguments of `edgecnn.train` for a command line, without running it."""
    seen: list[Call] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Call, "run", lambda call, command: seen.append(call))
        assert main(["train", *typed]) == 0
    return seen[0].arguments()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("--recipe", "other"), "--recipe must be cosine or notebook, got other"),
        (("--set", "width=16"), "--set applies to --model module:function, not to the CNN"),
    ],
)
def test_what_cannot_be_trained_is_refused(typed: tuple[str, ...], message: str, terminal: Any) -> None:
    assert message in terminal.fails(2, "train", *typed)


def test_what_is_said_is_in_the_settings_and_what_is_not_is_left_open() -> None:
    assert called() == {}
    notebook = called("--recipe", "notebook")["config"]
    assert (notebook.recipe, notebook.batch_size, notebook.augment) == ("notebook", None, None)
    typed = ("--recipe", "notebook", "--batch-size", "5", "--augment", "photo", "--epochs", "7", "--filters", "1,2,3")
    given = called(*typed, "--network", "strided")["config"]
    assert (given.batch_size, given.augment, given.epochs, given.filters) == (5, "photo", 7, (1, 2, 3))
    assert given.network == "strided"
    given = called("--model", "nets:small", "--set", "width=16", "--set", "depth=2")["config"]
    assert (given.model, given.arguments) == ("nets:small", ("width=16", "depth=2"))
    given = called("--class-weights", "balanced", "--keep", "last", "--patience", "3", "--val-share", "0.2")
    config = given["config"]
    assert (config.class_weights, config.keep, config.patience, given["images"].val_share) == ("balanced", "last", 3, 0.2)


@pytest.mark.usefixtures("made_here", "one_stage")
def test_validation_shows_in_the_progress_and_the_result_and_the_export_draws_the_same_images(
    idx_folder: Path, terminal: Any
) -> None:
    typed = ("train", "--data", idx_folder, "--epochs", "2", "--filters", "4,4,4", "--out", "out")
    line = terminal.fails(2, *typed, "--val-share", "0", "--patience", "1")
    assert re.search(r"--patience needs validation images.*bars.*--val-share 0\.1.*\bval/", line)
    terminal.passes(*typed, "--val-share", "0.2", "--split-seed", "3", "--class-weights", "balanced", "--patience", "2")
    assert re.search(
        r"^epoch 2/2  loss \d\.\d{4}  accuracy \d\.\d{4}  validation loss \d+\.\d{4}  accuracy \d\.\d{4}  \d+\.\d s$",
        terminal.err,
        re.MULTILINE,
    )
    kept = r"Kept: epoch [12] of 2, the one of lowest validation loss \(loss .* on 48 validation images\)"
    assert re.search(kept, " ".join(terminal.out.split()))
    assert re.search(r"192 training, 48 validation.*\b60 test", terminal.err)
    trained = Manifest.load(Path("out")).dataset
    terminal.passes("export", "out/model.keras", "--format", "tflite", "--quantize", "int8")
    assert Manifest.load(Path("out")).dataset == trained
