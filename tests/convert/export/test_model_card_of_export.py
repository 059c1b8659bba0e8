"""An export writes the model card together with its files, and keeps what somebody wrote into it."""

from pathlib import Path

import edgecnn as ec
from edgecnn.edge.manifest import Manifest


class Said:
    """Keeps what an export says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def step(self, done: int, total: int, text: str) -> None:
        pass


def test_an_export_writes_and_renews_a_card_of_its_files_and_leaves_an_edited_one_alone(
    artifacts: Path, idx_folder: Path
) -> None:
    def export() -> list[str]:
        said = Said()
        ec.export(artifacts / "model.keras", idx_folder, formats=["tflite"], precisions=["float32"], progress=said)
        return [line for line in said.lines if "MODEL_CARD.md" in line]

    card = artifacts / "MODEL_CARD.md"
    assert export() == []
    artifact = Manifest.load(artifacts).artifact("float32.tflite")
    assert artifact
    assert artifact.sha256 in card.read_text()
    mine = card.read_text().replace("[name]", "Anna")
    card.write_text(mine)
    assert export() == []
    assert "Anna" in card.read_text()
    edited = card.read_text().replace("## Limitations", "## No limits")
    card.write_text(edited)
    (told,) = export()
    assert "stays as it is" in told
    assert card.read_text() == edited
