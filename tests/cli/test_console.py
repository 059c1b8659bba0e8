import sys
from pathlib import Path

import pytest

from edgecnn.edge.errors import ConfigError
from edgecnn.shell.console import check_writable, say


@pytest.mark.parametrize(
    ("outputs", "inputs", "message"),
    [
        (("-",), (), "- is only for --json"),
        ((".",), (), r"\. is a folder: name a file"),
        (("manifest.json",), (), "manifest.json has a model's or a manifest's name"),
        (("new/int8.TFLITE",), (), "int8.TFLITE has a model's or a manifest's name"),
        (("a.json", "./a.json"), (), r"a\.json is named twice"),
        (("a.json",), ("x/../a.json",), r"a\.json is named twice"),
        (("file/a.json",), (), r"file can't be written"),
    ],
)
def test_what_must_not_be_written_is_refused(
    outputs: tuple[str, ...], inputs: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(ConfigError, match=message):
        check_writable(*map(Path, outputs), inputs=tuple(map(Path, inputs)))


def test_folders_of_outputs_may_be_missing_and_are_not_made_before_the_work(tmp_path: Path) -> None:
    check_writable(None, tmp_path / "a/one.json", tmp_path / "b/two.csv", Path("/dev/null"))
    assert list(tmp_path.iterdir()) == []


def test_progress_without_a_standard_error_does_not_get_into_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("loading")
    assert capsys.readouterr().out == ""
