"""Files of boards, as a machine reads them."""

import re
from collections.abc import Mapping
from pathlib import Path

BOARDS = Path(__file__).parents[1] / "boards"


def tree(root: Path, board: str, changes: Mapping[str, str | None] | None = None) -> Path:
    """Unpack a board; a change to None removes the file."""
    _, *sections = re.split(r"^--- (.+)\n", (BOARDS / f"{board}.txt").read_text(), flags=re.MULTILINE)
    files: dict[str, str | None] = dict(zip(sections[::2], sections[1::2], strict=True))
    for name, content in {**files, **(changes or {})}.items():
        if content is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            # A device tree's strings end with a NUL and have no newline.
            (root / name).write_text(content.rstrip("\n") + "\0" if "device-tree" in name else content)
    return root


def no_tool(command: list[str]) -> str:
    raise FileNotFoundError(command[0])
