"""A picture is the same image for a model, whether it is a file, a PIL image or an array."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgecnn as ec
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.inference.pictures import FittedPicture, fitted_picture
from edgecnn.edge.inference.predictions import read_image
from edgecnn.edge.manifest import Preprocessing

RULE = Preprocessing(1 / 255, "letterbox", "any")


def photo(mode: str) -> Image.Image:
    """A picture of 40 x 30 with a bright corner; turned by its EXIF data, transparent where its mode can be."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 120, (30, 40, 4)).astype(np.uint8)
    pixels[:10, :10] = 255
    pixels[20:, 20:, 3] = 0
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("picture", [None, 3, ["a.png"], object()])
def test_what_is_no_picture_is_refused_with_its_type(picture: Any) -> None:
    with pytest.raises(ValueError, match=f"path, .*PIL.*numpy array, got {type(picture).__name__}"):
        fitted_picture(picture, (12, 12, 3), RULE)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"absent\.png does not exist"):
        fitted_picture(tmp_path / "absent.png", (12, 12, 3), RULE)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_a_pil_image_is_what_its_file_is(mode: str, channels: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Lying on its side.
    photo(mode).save(tmp_path / "photo.png", exif=exif)
    shape = (12, 16, channels)
    from_file = fitted_picture(str(tmp_path / "photo.png"), shape, RULE).image
    with Image.open(tmp_path / "photo.png") as opened:
        from_memory = fitted_picture(opened, shape, RULE).image
    assert from_file.shape == shape
    assert from_memory.tolist() == from_file.tolist()


def test_transparency_is_white_and_the_picture_upright() -> None:
    image = fitted_picture(photo("RGBA"), (30, 40, 3), RULE).image
    assert image[25, 30].tolist() == [255, 255, 255]
    assert image[:10, :10].min() == 255


def test_an_array_is_fitted_as_a_picture_of_its_size() -> None:
    pixels = np.asarray(photo("RGB"))
    from_array, from_memory = (fitted_picture(item, (12, 16, 3), RULE).image for item in (pixels, photo("RGB")))
    assert from_array.tolist() == from_memory.tolist()


def test_predict_takes_pictures_but_no_list_of_arrays(exported: Path, tmp_path: Path) -> None:
    classifier = Classifier.load(exported / "int8.tflite")
    photo("RGB").save(tmp_path / "photo.png")
    several = classifier.predict([tmp_path / "photo.png", photo("RGB")])
    single = classifier.predict(photo("RGB"))
    assert several.probabilities.shape == (2, 3)
    assert several.probabilities.tolist() == [single.probabilities[0].tolist()] * 2
    assert classifier.predict([]).probabilities.shape == (0, 3)
    with pytest.raises(ValueError, match=r"stack them with numpy\.stack"):
        classifier.predict([np.zeros((12, 12, 1), np.uint8)])  # type: ignore[list-item]  # As a user who has a list.


def test_one_picture_needs_no_list_and_no_text_is_taken_for_one(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo("RGB").save(tmp_path / "photo.png")
    photo("RGB").save(tmp_path / "other.png")
    monkeypatch.chdir(tmp_path)
    model = exported / "int8.tflite"
    found = [ec.predict(model, one).images for one in ("photo.png", Path("photo.png"), ["photo.png"])]
    assert [[image.image for image in images] for images in found] == [["photo.png"]] * 3
    for one in (photo("RGB"), np.asarray(photo("RGB")), np.stack([np.asarray(photo("RGB"))] * 1)):
        assert len(ec.predict(model, one).images) == 1
    with pytest.raises(ArtifactError, match=r"nosuchfile\.png does not exist"):
        ec.predict(model, "nosuchfile.png")
    with pytest.raises(ConfigError, match="trust must be a list, got mine"):
        ec.predict(model, "photo.png", trust="mine")
    with pytest.raises(ConfigError, match="trust must be a list, got mine"):
        ec.predict(model, "photo.png", trust=Path("mine"))  # type: ignore[arg-type]  # As a user who has one.
    with pytest.raises(ConfigError, match="target is an empty text"):
        ec.predict("", "photo.png")


def test_an_image_that_can_t_be_read_is_named_and_keeps_no_other_from_an_answer(exported: Path, tmp_path: Path) -> None:
    photo("RGB").save(tmp_path / "photo.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "photo.jpg").read_bytes()[:-300])
    with Image.open(tmp_path / "cut.jpg") as cut:
        found = ec.predict(exported / "int8.tflite", [photo("RGB"), cut, Image.new("L", (0, 5))])
    assert (len(found.images), [item.image for item in found.unread]) == (1, ["picture 1", "picture 2"])


def test_odd_exif_data_keeps_no_picture_from_being_read(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    photo("RGB").save(path, exif=b"Exif\0\0no TIFF header")
    odd, plain = (fitted_picture(item, (12, 16, 3), RULE).image for item in (path, photo("RGB")))
    assert np.array_equal(odd, plain)


@pytest.mark.parametrize("size", [(1000, 10), (10, 1000), (3000, 1)])
def test_a_strip_is_read(size: tuple[int, int]) -> None:
    image = fitted_picture(Image.new("RGB", size, "red"), (32, 32, 3), RULE).image
    assert (image == (255, 0, 0)).all()


def test_pictures_in_a_folder_are_all_answered_or_named(exported: Path, tmp_path: Path) -> None:
    folder, real = tmp_path / "photos", tmp_path / "real"
    folder.mkdir()
    real.mkdir()
    for path in (folder / "a.tif", folder / "b.ppm", real / "c.png"):
        photo("RGB").save(path)
    (folder / "d.heic").write_bytes(b"ftypheic")
    (folder / "more").symlink_to(real)
    (real / "loop").symlink_to(folder)
    found = ec.predict(exported / "int8.tflite", folder)
    assert [Path(item.image).name for item in found.images] == ["a.tif", "b.ppm", "c.png"]
    assert [Path(item.image).name for item in found.unread] == ["d.heic"]


def test_a_picture_that_may_be_read_wrong_has_a_doubt_and_any_other_has_none(exported: Path, test_split: Split) -> None:
    classifier = Classifier.load(exported / "int8.tflite")
    clear, grey = Image.fromarray(test_split.images([0])[0, ..., 0]), Image.fromarray(np.full((40, 40), 128, np.uint8))
    first, second = classifier.predict([clear, grey]).doubts
    assert first is None
    assert second is not None
    assert "picture 1 has a border" in second
    doubts: list[str] = []
    image = read_image(grey, classifier, doubts.append)
    assert [doubt.replace("the picture", "picture 1") for doubt in doubts] == [second]
    assert classifier.predict(image).doubts == ()


@pytest.mark.parametrize(("probability", "doubted"), [(0.899, True), (0.9, False)])
def test_an_answer_that_is_often_wrong_is_doubted_of_a_fitted_digit_alone(probability: float, doubted: bool) -> None:
    image = np.zeros((28, 28, 1), np.uint8)
    doubt = FittedPicture(image, box=(0.1, 0.1, 0.9, 0.9)).doubt_of(probability, "six.png")
    assert ("six.png" in (doubt or "")) == doubted
    assert FittedPicture(image).doubt_of(probability, "six.png") is None
