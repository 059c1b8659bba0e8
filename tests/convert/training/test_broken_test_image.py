"""A broken test image, which is found when the epochs are over, does not cost the training."""

from pathlib import Path

import pytest

from edgecnn.convert.training.config import TrainConfig
from edgecnn.convert.training.train import train
from edgecnn.edge.data.dataset import load_dataset
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.model.interface import SCHEMES
from tests.cli.commands.own_things import photos

UNIT = SCHEMES["unit"]


def test_the_test_images_may_be_mended_before_the_result(tmp_path: Path) -> None:
    photos(str(tmp_path / "photos"), test=6)
    broken = next((tmp_path / "photos" / "test").rglob("*.png"))
    whole, said = broken.read_bytes(), list[str]()
    broken.write_bytes(whole[:-40])
    config, out = TrainConfig(epochs=1, filters=(2, 2, 2), batch_size=4), tmp_path / "out"
    options = FolderOptions()
    with pytest.raises(ArtifactError, match=broken.name):
        train(load_dataset(tmp_path / "photos", options), config, out, UNIT, on_text=said.append)
    assert all(part in said[-1] for part in ("resume", "test images are mended"))
    assert not (out / "model.keras").exists()
    broken.write_bytes(whole)
    mended = load_dataset(tmp_path / "photos", options)
    result = train(mended, config, out, UNIT, resume=True)
    assert (len(result.history), result.dataset.test_sha256) == (1, mended.test.sha256)
    # Once there is a result, it is of these test images.
    with pytest.raises(ConfigError, match="has finished its 1 epoch"):
        train(mended, config, out, UNIT, resume=True)
    broken.unlink()
    with pytest.raises(ConfigError, match="was trained on other images"):
        train(load_dataset(tmp_path / "photos", options), config, out, UNIT, resume=True)
