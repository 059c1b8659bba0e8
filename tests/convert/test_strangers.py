"""Pictures of no class that a threshold is tried on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.manifest import Preprocessing
from edgecnn.workflows.export import Accept
from tests.conftest import Lines

DIGITS = Preprocessing(1 / 255, "digit", "dark")


def test_pictures_in_which_a_model_of_digits_sees_none_are_counted_and_left_out(idx_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    page = np.full((200, 200), 235, np.uint8)
    Image.fromarray(page).save(tmp_path / "letters" / "blank.png")
    dataset, lines = load_dataset(idx_folder), Lines()
    accept = Accept(max_error=1, strangers=[tmp_path / "letters"])
    with pytest.raises(ConfigError, match=r"strangers=.*letters: no digit is seen"):
        accept.acceptance(dataset, DIGITS, lines)
    page[60:140, 95:105] = 20
    Image.fromarray(page).save(tmp_path / "letters" / "stroke.png")
    found = accept.acceptance(dataset, DIGITS, lines)
    assert found is not None
    (name, split), *_ = found.strangers
    assert (name, len(split.labels)) == ("letters", 1)
    assert (split.images([0])[0, 5:23, 13:15] > 200).all()
    assert any("1 of 2 pictures" in line for line in lines.lines)
    (tmp_path / "letters" / "broken.png").write_text("no picture")
    with pytest.raises(ArtifactError, match=r"broken\.png"):
        accept.acceptance(dataset, DIGITS, lines)
