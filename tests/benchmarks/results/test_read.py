"""A result of one board in a file that has several boards' results."""

import json
from pathlib import Path

import pytest

from edgecnn.__main__ import main
from edgecnn.benchmarks.results.read import read_report, read_results
from edgecnn.benchmarks.results.records import DeviceResults
from edgecnn.edge.errors import ArtifactError, ConfigError

RESULT = Path(__file__).parents[1] / "kept_results/schema-3.json"


def boards(folder: Path, *hosts: str) -> Path:
    """Write the results of boards, and of one that has none."""
    result = json.loads(RESULT.read_text())
    devices = [{"host": host, "error": None, "result": result} for host in hosts]
    absent = {"host": "absent", "error": "it does not answer", "result": None}
    path = folder / "boards.json"
    path.write_text(json.dumps({"schema": 1, "command": "edgecnn bench", "devices": [*devices, absent]}))
    return path


def test_of_several_boards_one_must_be_named(tmp_path: Path) -> None:
    path = boards(tmp_path, "pi4", "ssh://pi@10.0.0.7:22")
    with pytest.raises(ConfigError, match=r"pi4, ssh://pi@10\.0\.0\.7:22: name one.*boards\.json/pi4"):
        read_report(path)
    with pytest.raises(ConfigError, match="name one"):
        read_report(path / "pi5")
    with pytest.raises(ArtifactError, match=r"no result of absent \(.*answer\)"):
        read_report(path / "absent")
    expected = read_report(RESULT)
    assert read_report(path / "pi4") == expected
    assert read_report(path / "ssh://pi@10.0.0.7:22") == expected


def test_the_only_board_with_a_result_needs_no_name_and_a_damaged_list_is_named(tmp_path: Path) -> None:
    assert read_report(boards(tmp_path, "pi4")) == read_report(RESULT)
    with pytest.raises(ConfigError, match="results of no board"):
        read_report(boards(tmp_path))
    path = tmp_path / "boards.json"
    path.write_text('{"devices": [3]}')
    with pytest.raises(ArtifactError, match=r"boards\.json is damaged"):
        read_report(path)
    with pytest.raises(ConfigError, match="name the file alone"):
        read_report(RESULT / "pi4")


def test_all_boards_are_read_as_they_were_written(tmp_path: Path) -> None:
    found = read_results(boards(tmp_path, "pi4", "pi5"))
    assert isinstance(found, DeviceResults)
    expected = read_report(RESULT)
    assert [(device.host, device.error, device.result) for device in found.devices] == [
        ("pi4", None, expected),
        ("pi5", None, expected),
        ("absent", "it does not answer", None),
    ]
    (tmp_path / "again.json").write_text(found.to_json())
    assert read_results(tmp_path / "again.json") == found
    assert read_results(RESULT) == expected


def test_a_damaged_result_among_several_is_named(tmp_path: Path) -> None:
    path = boards(tmp_path, "pi4", "pi5")
    found = json.loads(path.read_text())
    found["devices"][1]["result"]["files"] = []
    path.write_text(json.dumps(found))
    with pytest.raises(ArtifactError, match=r"boards\.json/pi5 is damaged"):
        read_results(path)


def test_report_and_compare_take_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = boards(tmp_path, "pi4", "pi5")
    found = json.loads(path.read_text())
    for file in found["devices"][1]["result"]["files"]:
        for launch in file["launches"]:  # The second board measured for itself: the same result would be a copy.
            launch["load_ns"] += 1
    path.write_text(json.dumps(found))
    assert main(["report", f"{path}/pi4", "--csv", str(tmp_path / "x.csv")]) == 0
    assert (tmp_path / "x.csv").read_text().startswith("file,")
    assert main(["report", str(path), "--csv", str(tmp_path / "y.csv")]) == 2
    assert "boards.json/pi4" in capsys.readouterr().err
    assert not (tmp_path / "y.csv").exists()
    assert main(["compare", f"{path}/pi4", f"{path}/pi5", "--force", "--allow", "noise"]) == 0
    assert "boards.json/pi5" in capsys.readouterr().out


def test_report_shows_boards_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = boards(tmp_path, "pi4", "pi5")
    assert main(["report", str(path)]) == 0
    shown = capsys.readouterr().out
    answer, ship = shown.split("\n\n")[0].splitlines()[:2]
    assert answer.endswith("of 3 devices.")
    assert ship.startswith("Ship int8.tflite")
    heading = next(line for line in shown.splitlines() if "pi4" in line)
    assert "pi5" in heading
    assert all(said in shown for said in ("absent: NO RESULT: it", "it does not answer"))
