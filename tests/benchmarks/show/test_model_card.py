"""The model card: what the manifest says, and nobody's own words overwritten."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edgecnn.benchmarks.show.model_card import model_card, with_choice
from edgecnn.benchmarks.show.remarks import ship_line
from edgecnn.commands.bench import _keep
from edgecnn.edge.export_records import Folded, Interval, Mended, Parity, Provenance, Reference, Tuned
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Artifact, DatasetRecord, Manifest, Preprocessing, Quantization, SplitOff, TensorSpec
from edgecnn.edge.show.table import escaped
from tests.benchmarks.show.pages import file_result, report
from tests.edge.inference.thresholds import THRESHOLD

FLOAT = TensorSpec("image", (None, 4, 4, 1), "float32")
INT8 = TensorSpec("image", (1, 4, 4, 1), "int8", Quantization((1 / 255,), (-128,)))
SCORES = TensorSpec("scores", (1, 2), "float32")
DISTINCT = (1000, 950)


@pytest.fixture
def manifest() -> Manifest:
    keras = Artifact("keras", "float32", "model.keras", 9000, "a" * 64, None, FLOAT, SCORES, None, None)
    int8 = Artifact("tflite", "int8", "int8.tflite", 4321, "b" * 64, "a" * 64, INT8, SCORES, None, Parity(1000, 997, 0.0625))
    return Manifest(
        schema=2,
        class_names=("cat", "dog"),
        preprocessing=Preprocessing(1 / 255, "digit", "dark"),
        output="probabilities",
        trusted=(),
        dataset=DatasetRecord("animals", "/home/anna/animals", "c" * 64, "d" * 64),
        provenance=Provenance("2026-01-02", "2026-01-03", 0, {"epochs": "3"}, {}, {"tensorflow": "2.21"}, None),
        reference=Reference("reference.npy", "e" * 64, "a" * 64, "d" * 64, 1000, 950),
        artifacts=(keras, int8),
    )


def written(manifest: Manifest, earlier: str | None = None, distinct: tuple[int, int] = DISTINCT) -> str:
    card = model_card(manifest, "pets", distinct, earlier)
    assert card is not None
    return card


def test_a_part_that_somebody_edited_or_removed_is_never_overwritten(manifest: Manifest) -> None:
    card = written(manifest)
    assert model_card(manifest, "pets", DISTINCT, card.replace("4,321", "4,322")) is None
    assert model_card(manifest, "pets", DISTINCT, card.replace("edgecnn:end", "end")) is None
    assert model_card(manifest, "pets", DISTINCT, "# My own card") is None


def test_what_is_written_outside_of_the_part_stays_when_the_part_is_renewed(manifest: Manifest) -> None:
    mine = written(manifest).replace("license:  #", "license: mit  #").replace("[name]", "Anna") + "\nTested by Anna.\n"
    keras, int8 = manifest.artifacts
    again = written(replace(manifest, artifacts=(keras, replace(int8, size_bytes=5555))), mine)
    assert again.replace("5,555", "4,321").split("-->", 2)[2] == mine.split("-->", 2)[2]
    assert again.startswith(mine.split("<!-- edgecnn:begin")[0])
    assert "5,555" in again
    assert written(manifest, again) == mine


def test_a_benchmark_writes_into_the_card_which_file_to_ship_and_an_export_takes_it_back(manifest: Manifest) -> None:
    mine = written(manifest) + "\nTested by Anna.\n"
    measured = report(file_result("float32.tflite"), file_result("int8.tflite", microseconds=90))
    card = with_choice(mine, measured)
    assert card is not None
    assert f"`edgecnn bench` on Board 5, 2026-01-02T03:04:05Z: {escaped(ship_line(measured))}" in card
    assert 'Classifier.load("float32.tflite")  # manifest.json must' in card
    assert card.endswith("\nTested by Anna.\n")
    # Measured again, and exported again.
    again = with_choice(card, report(file_result("int8.tflite")))
    assert again is not None
    assert again.count("Ship ") == card.count("Ship ") == 1
    assert 'load("int8.tflite")' in again
    assert written(manifest, again) == mine
    # The example stays where no file is to be shipped; a part that somebody edited stays as it is.
    failed = with_choice(card, report(file_result("int8.tflite", "FAIL")))
    assert failed is not None
    assert 'load("float32.tflite")' in failed
    assert "Ship none: " in failed
    assert with_choice(card.replace("4,321", "4,322"), measured) is None


def test_the_first_accuracy_says_itself_that_the_images_may_have_been_learned(manifest: Manifest) -> None:
    measured = report(file_result("float32.tflite"), file_result("int8.tflite", microseconds=90))
    assert measured.dataset
    doubtful = replace(measured, dataset=replace(measured.dataset, may_be_learnt=True))
    first = re.compile(r"% right \(it may have learned these images\)")
    for of, found in ((measured, False), (doubtful, True)):
        card = with_choice(written(manifest), of)
        assert card is not None
        lines = card.splitlines()
        assert bool(first.search(next(line for line in lines if "% right" in line))) == found
        verdict, ship = of.to_text(300).splitlines()[:2]
        assert "% of the images" in verdict
        assert bool(first.search(ship)) == found


def test_the_card_has_what_a_threshold_accepts_of_validation_and_after_a_benchmark_of_test_images(manifest: Manifest) -> None:
    assert "not sure" not in written(manifest)
    keras, int8 = manifest.artifacts
    judged = replace(int8, threshold=THRESHOLD)
    mine = written(replace(manifest, artifacts=(keras, judged)))
    for part in ("## When the model is not sure", "| int8.tflite | 90 % | 950 of 1,000 | 1 | 1 | 3 (200) of 256 |", "95%"):
        assert part in mine
    file = file_result("int8.tflite")
    assert file.accuracy
    seen = replace(file.accuracy, accepted=900, accepted_wrong=2)
    card = with_choice(mine, report(replace(file, artifact=replace(file.artifact, threshold=THRESHOLD), accuracy=seen)))
    assert card is not None
    assert f"accepts 900 of {seen.images:,} answers" in card
    assert "0.22 % are wrong" in card


def test_a_card_of_an_earlier_release_gets_the_choice_and_keeps_its_sections_and_its_authors_bytes(manifest: Manifest) -> None:
    card, measured = written(manifest), report(file_result("int8.tflite"))
    begin, text, end = re.split(r"(?<=Written again by each edgecnn export\. -->\n)|(?=<!-- edgecnn:end)", card)
    earlier = text.replace("`edgecnn bench` measures the files, and says here which one to ship.\n\n", "")
    assert earlier != text
    old = begin.replace(sha256(text.encode()), sha256(earlier.encode())) + earlier + end + "Ana\udcefs"  # Not UTF-8.
    chosen = with_choice(old, measured)
    assert chosen is not None
    assert "Ship int8.tflite" in chosen
    assert [line for line in chosen.splitlines() if line.startswith("## ")] == [
        line for line in card.splitlines() if line.startswith("## ")
    ]
    assert chosen.endswith("Ana\udcefs")
    assert with_choice(chosen, measured) == chosen


def test_a_measurement_is_not_lost_for_a_card_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "MODEL_CARD.md").touch()
    said: list[str] = []

    class Said:
        say = said.append

        def step(self, done: int, total: int, text: str, detail: str = "") -> None:
            pass

    _keep(report(file_result("int8.tflite")), tmp_path, Said())
    assert (tmp_path / "bench.json").exists()
    assert len(said) == 1
    assert "MODEL_CARD.md" in said[0]


@pytest.mark.parametrize(("runtime", "where"), [(None, "A72"), ("openvino", "A72 with openvino")])
def test_a_tuned_file_says_for_which_machine_and_runtime(manifest: Manifest, runtime: str | None, where: str) -> None:
    keras, int8 = manifest.artifacts
    tuned = Tuned("A72", "instructions", "float32.tflite", Interval(0.84, 0.83, 0.86), 9, 1.0, 0, (), runtime)
    mended = Mended(("conv2d",), "float32", 0.5, 3, 4000, 0.84, 500)
    entry = replace(int8, path="tuned.tflite", mended=mended, tuned=tuned)
    said = f"tuned.tflite computes 1 of its operators in float32, chosen for {where}: 0.84 (0.83-0.86) of float32.tflite's"
    card = written(replace(manifest, artifacts=(keras, entry)))
    assert f"- {said} instructions there." in card
    assert "- tuned.tflite computes 1 of its operators in float32." in written(
        replace(manifest, artifacts=(keras, replace(entry, tuned=None)))
    )
    folded = replace(tuned, folded=(Folded("conv2d", 2), Folded("conv2d_1", 4)))
    alone = written(replace(manifest, artifacts=(keras, replace(entry, mended=None, tuned=folded))))
    assert f"tuned.tflite computes several columns at a time in 2 convolutions, chosen for {where}: 0.84" in alone
    both = written(replace(manifest, artifacts=(keras, replace(entry, tuned=folded))))
    assert "computes 1 of its operators in float32 and several columns at a time in 2 convolutions" in both


def test_the_card_has_accuracy_with_its_interval_files_with_hashes_and_how_pixels_go_in(manifest: Manifest) -> None:
    card = written(manifest)
    for part in (
        "# Model card: pets",
        "license:  # Fill in",
        "95.00 % (950 of 1,000 test images; 95 % interval 93.46 to 96.27 %)",  # Clopper and Pearson, as scipy has it.
        "| int8.tflite | 997 of 1,000 | 0.30 points | 0.062 |",
        f"| int8.tflite | 4,321 | - | {'b' * 64} |",
        "0.00392157 \\* pixel",
        "scale 0.00392157, zero point -128",
        "Images with a light background are inverted.",
        "epochs 3",
        f"`{'d' * 64}`",
        "one of its 2 classes for any image",
    ):
        assert part in card
    assert "anna" not in card


@pytest.mark.parametrize("began", [{}, {"model": "other.keras"}, {"transfer": "other.keras"}, {"weights": "other.h5"}])
def test_images_that_a_model_from_elsewhere_may_have_learned_are_not_called_test_images(
    began: dict[str, str], manifest: Manifest
) -> None:
    assert "950 of 1,000 test images" in written(manifest)
    assert "whether the model has learned" not in written(manifest)
    named = {"epochs": "3", "model": "my_nets:small", "transfer": "mobilenet"}
    assert "test images" in written(replace(manifest, provenance=replace(manifest.provenance, train_config=named)))
    settings = began and {"epochs": "3", **began}
    card = written(replace(manifest, provenance=replace(manifest.provenance, train_config=settings)))
    assert "whether the model has learned" in card
    assert "950 of 1,000 images" in card
    assert "test images" not in card


def test_images_drawn_for_a_model_from_elsewhere_are_no_test_result_in_the_card(manifest: Manifest) -> None:
    drawn = replace(manifest.dataset, name="my_pets", split_off=SplitOff(0.2, 0))
    assert "did not train" not in written(replace(manifest, dataset=drawn))
    card = written(replace(manifest, dataset=drawn.of_unknown_training()))
    assert all(part in card for part in ("was trained elsewhere", "my\\_pets", "no test result", "test_list=FILE"))
    assert "test images" not in card


def test_copies_of_training_images_and_a_model_that_guesses_are_in_the_card(manifest: Manifest) -> None:
    card = written(replace(manifest, dataset=replace(manifest.dataset, learnt=tuple(range(7)))))
    assert all(part in card for part in (" 7 of these 1,000 images", "copies of training images"))
    assert "test images" not in card
    assert manifest.reference
    assert "most frequent class" not in written(manifest)
    assert "most frequent class" in written(replace(manifest, reference=replace(manifest.reference, doubtful=True)))


def test_a_file_of_another_model_is_not_in_the_card_and_names_can_not_become_markup(manifest: Manifest) -> None:
    keras, int8 = manifest.artifacts
    assert "int8.tflite" not in written(replace(manifest, artifacts=(keras, replace(int8, source_sha256="f" * 64))))
    evil = "<!-- edgecnn:end --> | **a**\n# b"
    card = written(replace(manifest, class_names=(evil, "dog"), dataset=replace(manifest.dataset, name=evil)))
    assert card.count("<!-- edgecnn:end -->") == 1
    assert "\n# b" not in card
    assert written(manifest, card) == written(manifest)


def test_the_interval_is_of_distinct_images_and_what_they_can_show_is_said(manifest: Manifest) -> None:
    card = written(manifest, distinct=(40, 38))
    assert "95.00 % (38 of 40 distinct test images; 95 % interval 83.08 to 99.39 %). The other 960 have the same pixels" in card
    assert "520 images can show:** that a file loses at most 0.71 points (95 %)" in written(manifest, distinct=(520, 510))
    assert "can show:**" not in written(replace(manifest, reference=None), distinct=(0, 0))
