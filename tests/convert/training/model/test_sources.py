"""The hash of a user's function changes with each file that its network follows from."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from edgecnn.convert.training.model.builder import source_sha256
from edgecnn.edge.errors import ConfigError
from edgecnn.edge.files import sha256

FILES = {
    "nets.py": """import json
import keras
try:
    from . import blocks
except ImportError:
    import plain.part

def small(shape, classes):
    from blocks import block
    import old, wandb
""",
    "blocks.py": "import zoo.deep\nWIDTH = 8\n",
    "zoo/__init__.py": "",
    "zoo/deep.py": "from . import parts\n",
    "zoo/parts.py": "",
    "plots.py": "",
    "plain/part.py": "from .other import *\ndef late():\n    from . import missing\n",
    "plain/other.py": "",
    "old.py": "print 'for Python 2'\n",
    "wandb/run.txt": "",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    for name in ("nets", "blocks", "zoo", "zoo.deep", "zoo.parts", "plots", "plain", "plain.part", "plain.other"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()


def imported(name: str = "nets") -> ModuleType:
    forget()
    return importlib.import_module(name)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".py") and name != "plots.py"])
def test_an_edit_of_any_file_that_it_imports_counts(name: str, folder: Path) -> None:
    before = source_sha256(imported())
    assert source_sha256(imported()) == before
    with (folder / name).open("a") as file:
        file.write("# edited\n")
    assert source_sha256(imported()) != before


def test_other_files_of_the_folder_do_not_count_for_one_that_imports_none(folder: Path) -> None:
    before = source_sha256(imported())
    (folder / "plots.py").write_text("# edited")
    assert source_sha256(imported()) == before
    assert source_sha256(imported("plots")) == sha256((folder / "plots.py").read_bytes())


def test_a_module_of_a_package_counts_with_it_and_an_installed_one_is_its_file_alone(folder: Path) -> None:
    before = source_sha256(imported("zoo.deep"))
    (folder / "zoo" / "__init__.py").write_text("# edited")
    assert source_sha256(imported("zoo.deep")) != before
    assert source_sha256(pytest) == sha256(Path(str(pytest.__file__)).read_bytes())


def test_what_was_used_must_be_what_the_file_says(folder: Path) -> None:
    nets = imported()
    before = source_sha256(nets)
    (folder / "nets.py").write_text(FILES["nets.py"] + "# edited\n")
    with pytest.raises(ConfigError, match=r"nets\.py.* has changed since"):
        source_sha256(nets)
    assert source_sha256(nets, before) == before  # A sweep goes on with what it began with.
    assert source_sha256(importlib.reload(nets)) != before
