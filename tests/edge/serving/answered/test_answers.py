"""What a server answers is counted each minute, kept on disk, summed up, and compared with the test images."""

import resource
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgecnn.edge.inference.answer_mix import CONFIDENCES, ExpectedAnswers
from edgecnn.edge.records import to_value
from edgecnn.edge.serving.answered import answers as module
from edgecnn.edge.serving.answered.answers import Answers, GivenAnswer
from edgecnn.edge.serving.answered.record import DAY, EARLIEST, HOUR, HOURS_NAME, NOW_NAME
from edgecnn.edge.serving.models import LoadedFile

START = EARLIEST + 100 * DAY
SURE = (0,) * len(CONFIDENCES) + (900,)
CLASSES = ("cat", "dog", "bird")
EXPECTED = ExpectedAnswers("int8.tflite", (300, 300, 300), SURE)


def file(
    name: str = "int8.tflite",
    expected: ExpectedAnswers | None = EXPECTED,
    digits: str = "a",
    classes: tuple[str, ...] = CLASSES,
) -> LoadedFile:
    classifier = SimpleNamespace(class_names=classes)
    about = SimpleNamespace(sha256=(digits * 64)[:64])
    return cast(LoadedFile, SimpleNamespace(name=name, about=about, classifier=classifier, expected=expected))


FILE = file()


def give(answers: Answers, place: int, confidence: float = 1.0, accepted: bool | None = None, is_frame: bool = False) -> None:
    answers.picture([GivenAnswer(FILE, place, confidence, accepted)], is_frame)


def summary(answers: Answers, files: list[LoadedFile]) -> Any:
    return to_value(answers.summary(files))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of the log."""
    lines: list[str] = []
    monkeypatch.setattr(module, "log", lines.append)
    return lines


def test_counting_began_with_the_first_minute_not_with_the_look_at_it_or_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: passed[0])
    answers, found = Answers(clock=lambda: START + passed[0]), list[str]()
    give(answers, 0)
    for seconds in (50.0, 10.0, 30.0):
        passed[0] += seconds
        found.append(summary(answers, [FILE])["since"])
        answers.close_minute()
        give(answers, 0)
    assert {*found} == {datetime.fromtimestamp(START, UTC).isoformat()}


def test_a_summary_has_what_was_answered_before_and_after_a_restart(tmp_path: Path, said: list[str]) -> None:
    now = [float(START)]
    for _ in range(2):
        answers = Answers(tmp_path, clock=lambda: now[0])
        with answers.kept():
            for place, accepted in ((0, True), (0, True), (1, False)):
                give(answers, place, 1.0, accepted)
                answers.request(200)
                answers.took(0.004)
            answers.request(503)
        now[0] += DAY
    now[0] -= DAY
    answers = Answers(tmp_path, clock=lambda: now[0])
    with answers.kept():
        found = summary(answers, [FILE])
    assert found["since"].startswith("2026-04-11T00:00")
    assert [found[window]["requests"] for window in ("hour", "day", "all")] == [{"200": n, "503": n // 3} for n in (3, 3, 6)]
    assert [found["all"][key] for key in ("errors", "pictures")] == [2, 6]
    assert found["all"]["p50_ms"] == pytest.approx(4, rel=0.1)
    (one,) = found["files"]
    assert one["classes"] == {"cat": 4, "dog": 2}
    assert one["confidences"] == {"0.999": 6}
    assert [one[key] for key in ("file", "sha256", "answers", "accepted", "refused", "compared", "differences")] == [
        "int8.tflite", "a" * 64, 6, 4, 2, 6, [],
    ]  # fmt: skip
    assert not said


def test_an_empty_summary_is_one_too() -> None:
    found = summary(Answers(), [FILE, file("b.onnx", None, "b")])
    assert found["since"] is None
    assert [(one["answers"], one["compared"]) for one in found["files"]] == [(0, 0), (0, None)]
    assert found["hour"]["p50_ms"] is None


def test_the_minute_that_goes_on_is_in_the_summary() -> None:
    answers = Answers(clock=lambda: START)
    give(answers, 2)
    answers.request(200)
    found = summary(answers, [FILE])
    assert (found["hour"]["pictures"], found["files"][0]["classes"]) == (1, {"bird": 1})


def test_a_minute_is_told_of_once_and_an_empty_one_never(tmp_path: Path) -> None:
    told: list[int] = []
    answers = Answers(tmp_path, lambda minute: told.append(minute.pictures))
    for _ in range(3):
        answers.close_minute()
    assert not list(tmp_path.iterdir())
    give(answers, 0)
    for _ in range(3):
        answers.close_minute()
    assert told == [1]


def test_the_record_is_written_once_for_each_minute_whatever_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(module, "write_bytes", lambda path, data: written.append(path.name))
    now = [float(START)]
    answers = Answers(tmp_path, clock=lambda: now[0])
    for _ in range(10):
        for number in range(1000):
            give(answers, number % 3)
            answers.request(200)
        answers.close_minute()
        now[0] += HOUR / 5
    assert written == [*[NOW_NAME] * 5, HOURS_NAME, *[NOW_NAME] * 5]


def test_the_thread_closes_minutes_by_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MINUTE", 0.01)
    told = threading.Event()
    answers = Answers(None, lambda minute: told.set(), clock=lambda: 0.0)
    with answers.kept():
        give(answers, 0)
        assert told.wait(60)


def test_threads_that_count_at_once_lose_nothing() -> None:
    answers = Answers(clock=lambda: START)

    def count() -> None:
        for number in range(2000):
            give(answers, number % 3, 0.5, True)
            answers.request(200)
            if number % 100 == 0:
                answers.close_minute()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.close_minute()
    found = summary(answers, [FILE])
    assert (found["all"]["requests"], found["all"]["pictures"]) == ({"200": 8000}, 8000)
    assert [found["files"][0][key] for key in ("answers", "accepted", "compared")] == [8000] * 3


def test_other_classes_than_the_test_images_are_said_once_and_stay_said_after_a_restart(
    tmp_path: Path, said: list[str]
) -> None:
    for _ in range(3):
        answers = Answers(tmp_path, clock=lambda: START)
        with answers.kept():
            for _ in range(40):
                give(answers, 1)
    (line,) = said
    assert "dog" in line
    assert "33.3 % of 900 test images" in line
    answers = Answers(tmp_path, clock=lambda: START)
    with answers.kept():
        assert summary(answers, [FILE])["files"][0]["differences"] == [line]


def test_other_confidences_are_said_and_the_same_ones_are_not(said: list[str]) -> None:
    answers = Answers(clock=lambda: START)
    for number in range(300):
        give(answers, number % 3)
    answers.close_minute()
    assert not said
    for number in range(300):
        give(answers, number % 3, 0.75)
    answers.close_minute()
    (line,) = said
    assert "confidences" in line
    assert "0.0 % of 900 test images" in line or "100.0 % of 900 test images" in line


def test_a_file_of_which_no_bundle_says_what_to_expect_is_counted_and_never_said_to_differ(said: list[str]) -> None:
    answers, unknown = Answers(clock=lambda: START), file("b.onnx", None, "b")
    for _ in range(300):
        answers.picture([GivenAnswer(unknown, 1, 0.3, None)], is_frame=False)
    answers.close_minute()
    (one,) = summary(answers, [unknown])["files"]
    assert (one["answers"], one["compared"], one["differences"]) == (300, None, [])
    assert not said


def test_of_a_camera_s_frames_one_in_ten_seconds_is_compared_and_all_are_counted(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    answers = Answers(clock=lambda: START)
    for number in range(901):  # 30 seconds.
        now[0] = 100 + number / 30
        give(answers, 1, is_frame=True)
    answers.close_minute()
    (one,) = summary(answers, [FILE])["files"]
    assert (one["answers"], one["compared"]) == (901, 4)
    assert not said


def test_a_model_that_was_replaced_does_not_stay_in_memory() -> None:
    answers = Answers(clock=lambda: START)
    for number in range(100):
        for one in (FILE, file(digits=f"{number:02d}")):
            answers.picture([GivenAnswer(one, 0, 1.0, None)], is_frame=False)
        answers.close_minute()
    assert len(answers._known) <= 32
    assert len(answers._past.compared) <= 32


def test_a_full_disk_is_said_once_and_what_was_counted_is_written_when_there_is_room(tmp_path: Path, said: list[str]) -> None:
    answers = Answers(tmp_path, clock=lambda: START)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        for _ in range(3):
            give(answers, 0)
            answers.close_minute()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(said) == 1
    assert "kept" in said[0]
    give(answers, 0)
    answers.close_minute()
    again = Answers(tmp_path, clock=lambda: START)
    with again.kept():
        assert summary(again, [FILE])["all"]["pictures"] == 4


def test_a_folder_that_can_t_be_read_keeps_no_server_from_answering(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / NOW_NAME).mkdir()
    answers = Answers(tmp_path, clock=lambda: START)
    with answers.kept():
        give(answers, 0)
    assert len(said) == 2
    assert all(NOW_NAME in line for line in said)
    assert list(tmp_path.iterdir()) == [tmp_path / NOW_NAME]


def test_a_summary_of_more_files_than_are_remembered_has_each() -> None:
    answers, files = Answers(clock=lambda: START), [file(f"{place}.tflite", None, f"{place:02d}") for place in range(40)]
    found = summary(answers, files)
    assert [row["file"] for row in found["files"]] == [one.name for one in files]


def test_a_class_that_is_called_others_loses_no_answer_to_those_that_are_counted_together() -> None:
    answers = Answers(clock=lambda: START)
    many = file(classes=("others", *(f"class {number}" for number in range(149))), expected=None)
    for place in range(150):
        answers.picture([GivenAnswer(many, place, 1.0, None)], is_frame=False)
    (one,) = summary(answers, [many])["files"]
    assert one["answers"] == sum(one["classes"].values()) == 150
    assert one["classes"]["others"] == 51
