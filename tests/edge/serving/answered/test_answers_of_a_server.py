"""A running server logs a minute in a line, keeps what it answered in its folder, and compares it with its bundle."""

import re
import signal
from pathlib import Path

import pytest

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.edge.data.splits import Split
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.serving.answered.record import NOW_NAME, Past
from tests.edge.inference.thresholds import with_threshold
from tests.edge.serving.running import Server, serving, watching
from tests.edge.serving.service.desk import ask
from tests.edge.serving.service.test_restart import restart

pytestmark = pytest.mark.workstation("load, signals and many connections take minutes under emulation")


def fail(text: str) -> None:
    raise AssertionError(text)


def ended(server: Server) -> list[str]:
    """End a server, and return the lines of its log without their times."""
    server.signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    return [line.partition(" ")[2] for line in server.log.read_text().splitlines()]


def about_requests(lines: list[str]) -> list[str]:
    return [line for line in lines if "request" in line and "ending" not in line]


def test_the_log_has_a_line_for_a_minute_and_one_for_each_request_only_if_asked_for(
    exported: Path, pictures: Path, tmp_path: Path
) -> None:
    picture = (pictures / "0.png").read_bytes()

    def asked(*options: str) -> list[str]:
        with serving(tmp_path, exported / "int8.tflite", *options) as server:
            for body in (picture, picture, b"no picture"):
                server.classify(body)
            for path in ("/healthz", "/metrics"):
                server.get(path)
            return ended(server)

    by_minute, by_request = asked(), asked("--verbose")
    (line,) = about_requests(by_minute)
    for part in ("3 requests", "2 with status 200", "1 with status 422", "2 pictures"):
        assert part in line
    assert re.search(r"p50 [\d.]+ ms, p90 [\d.]+ ms", line)
    assert not any("POST" in line for line in by_minute)
    assert sum("POST /api/classify" in line for line in by_request) == 3
    assert not about_requests(by_request)


def test_a_minute_in_which_only_a_supervisor_asked_has_no_line(exported: Path, tmp_path: Path) -> None:
    with serving(tmp_path, exported / "int8.tflite", "--state", tmp_path / "state") as server:
        for _ in range(5):
            server.get("/healthz")
            server.get("/metrics")
        assert about_requests(ended(server)) == []
    assert not (tmp_path / "state" / NOW_NAME).exists()


def test_what_was_answered_is_in_the_folder_of_the_state_after_each_end(exported: Path, pictures: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    for starts in (1, 2):
        with serving(tmp_path, exported / "int8.tflite", "--state", state, "--camera", pictures) as server:
            for number in range(4):
                server.classify((pictures / f"{number}.png").read_bytes())
            with watching(server) as lines:
                next(lines)
            ended(server)
        (day, *_) = Past.load(state, fail).days
        assert day.requests["200"] >= 4 * starts
        assert day.pictures >= 5 * starts
        (counts,) = day.files.values()
        assert sum(counts.classes.values()) == counts.answers == day.pictures


def test_the_status_has_what_was_answered_through_a_restart_and_counts_no_question_of_health(
    exported: Path, pictures: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with serving(tmp_path, exported / "int8.tflite", "--state", state) as server:
        assert ask(state, "status")["answers"]["since"] is None
        picture = (pictures / "0.png").read_bytes()
        for starts in (1, 2):
            label = server.classify(picture).json["pictures"][0]["answers"][0]["label"]
            for _ in range(3):
                assert ask(state, "health")["ok"]
            found = ask(state, "status")
            (one,) = found["answers"]["files"]
            assert (one["file"], one["answers"], one["classes"]) == ("int8.tflite", starts, {label: starts})
            assert found["answers"]["all"]["requests"] == {"200": starts}
            restart(state)


def test_the_metrics_have_classes_acceptance_and_confidence(artifacts: Path, pictures: Path, tmp_path: Path) -> None:
    with_threshold(artifacts, 0.0)
    with serving(tmp_path, artifacts / "int8.tflite") as server:
        reply = server.classify((pictures / "0.png").read_bytes()).json
        label = reply["pictures"][0]["answers"][0]["label"]
        said = server.get("/metrics").body.decode()
    assert f'edgecnn_answers_total{{accepted="true",file="int8.tflite",label="{label}"}} 1.0' in said
    assert 'edgecnn_answer_confidence_bucket{file="int8.tflite",le="1.0"} 1.0' in said
    assert 'edgecnn_answer_confidence_bucket{file="int8.tflite",le="0.0"}' not in said


@pytest.mark.parametrize("of_bundle", [True, False])
def test_other_classes_than_the_bundle_s_are_said_in_the_log_and_a_folder_s_never(
    of_bundle: bool, exported: Path, test_split: Split, pictures: Path, tmp_path: Path
) -> None:
    target, name = exported / "int8.tflite", "int8.tflite"
    if of_bundle:
        target = tmp_path / "bars.zip"
        write_bundle(target, ModelFolder(exported), test_split, [name])
    with serving(tmp_path, target) as server:
        picture = (pictures / "0.png").read_bytes()
        for _ in range(150):
            server.classify(picture)
        said = [line for line in ended(server) if "beyond chance" in line]
    assert any("the classes differ" in line and name in line for line in said) == of_bundle
    assert all("error" not in line for line in said)
