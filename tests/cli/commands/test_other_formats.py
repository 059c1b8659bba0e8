"""What formats lack whose layers can't be read is said in one line."""

from pathlib import Path
from typing import Any


def test_layers_that_can_not_be_read_are_not_compared(exported: Path, by_name: Path, terminal: Any) -> None:
    assert "layers of .mnn files" in terminal.fails(2, "diagnose", by_name / "int8.mnn")
    message = terminal.fails(2, "export", exported / "model.keras", "--format", "mnn", "--keep-accuracy", "0.5")
    assert "--keep-accuracy compares layers" in message
    assert "layers of .ncnn files" in terminal.fails(2, "summary", by_name / "int8.ncnn")
