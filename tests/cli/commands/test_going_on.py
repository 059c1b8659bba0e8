"""Continuing with a trained model: what its manifest says, and what must be given without a manifest."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecnn.edge.manifest import Manifest
from tests.cli.commands.own_things import photos, save_linear

GREY = ("--data", "pets", "--size", "12x12", "--channels", "1")
pytestmark = pytest.mark.usefixtures("made_here", "one_stage")


def test_export_says_what_is_missing_before_it_imports_tensorflow(terminal: Any) -> None:
    save_linear("own.keras", 12)
    code = "import sys; sys.modules['tensorflow'] = None; from edgecnn.__main__ import main; sys.exit(main(sys.argv[1:]))"
    typed = ["export", "own.keras"]
    done = subprocess.run([sys.executable, "-c", code, *typed], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "--data" in done.stderr


def test_training_goes_on_as_the_manifest_beside_a_model_says(idx_folder: Path, terminal: Any) -> None:
    save_linear("own.keras", 12)
    Path("names.txt").write_text("low\nmiddle\nhigh\n")
    said = ("--data", idx_folder, "--preprocess", "tf", "--labels", "names.txt", "--quantize", "float32", "--out", "first")
    terminal.passes("export", "own.keras", *said)
    terminal.passes("train", "--model", "first/model.keras", "--epochs", "1", "--out", "second")
    first, second = Manifest.load(Path("first")), Manifest.load(Path("second"))
    assert second.preprocessing == first.preprocessing
    assert second.class_names == ("low", "middle", "high")
    assert second.dataset.test_sha256 == first.dataset.test_sha256
    assert "as its manifest says" in terminal.err
    # The preprocessing stays; images and classes are new.
    photos("pets")
    terminal.passes("train", "--transfer", "first/model.keras", "--epochs", "1", "--out", "third", *GREY)
    third = Manifest.load(Path("third"))
    assert (third.preprocessing.scale, third.preprocessing.mean) == (1 / 127.5, (1.0,))
    assert third.class_names == ("cat", "dog")


def test_training_goes_on_in_the_models_order_of_classes(terminal: Any) -> None:
    photos("pets")
    Path("order.txt").write_text("dog\ncat\n")
    small = ("--network", "cnn", "--filters", "2,2,2")
    terminal.passes("train", "--data", "pets", "--labels", "order.txt", *small, "--epochs", "1", "--out", "first")
    # Other labels do not overrule the manifest.
    Path("other.txt").write_text("cat\ndog\n")
    said = ("--data", "pets", "--labels", "other.txt")
    line = terminal.fails(2, "evaluate", "first/model.keras", *said)
    assert re.search(r"other\.txt contradicts .*first/model\.keras \(dog, cat", line)
    assert "contradicts" in terminal.fails(2, "predict", "first/model.keras", "--index", "0", *said)
    terminal.passes("train", "--model", "first/model.keras", "--data", "pets", "--epochs", "1", "--out", "second")
    assert Manifest.load(Path("second")).class_names == ("dog", "cat")
    Path("pets/train/dog").rename("pets/train/wolf")
    Path("pets/test/dog").rename("pets/test/wolf")
    line = terminal.fails(2, "train", "--model", "first/model.keras", "--data", "pets", "--epochs", "1", "--out", "third")
    assert "class wolf is not among" in line
    assert not Path("third").exists()
