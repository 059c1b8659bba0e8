"""Lays out a folder with one altered file and the valid files that a command also needs."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools.faults.mend import mend_bundle, mend_folder, resigned
from tools.faults.mutators.arrays import ZIP, alter_array, alter_type, members
from tools.faults.mutators.models import ONNX, TFLITE
from tools.faults.mutators.plain import BYTES, Mutator, Random, altered, splice_with
from tools.faults.mutators.text import FIELDS, TEXT_LINES

_TARGETS = {"tflite": ("float32.tflite", "int8.tflite"), "onnx": ("float32.onnx", "int8.onnx"), "keras": ("model.keras",)}


@dataclass(frozen=True)
class Laid:
    """A folder with one altered file in it.

    Attributes:
        file: Path of the altered file in the folder.
        how: Name of the mutator.
        model: File of the model folder `m` that commands name.
    """

    file: str
    how: str
    model: str = "int8.tflite"


Lay = Callable[[Path, Path, Random, int], Laid]
"""Fills a folder from the bases, for a try with this number among those of its kind."""


def copied(bases: Path, folder: Path, *names: str) -> None:
    """Copy files and folders of the bases into a folder."""
    for name in names:
        source = bases / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)


def bare(model_format: str, mutators: tuple[Mutator, ...]) -> Lay:
    """Alter a file without a manifest."""

    def lay(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
        copied(bases, folder, "few.npz", "digit.png", "bare")
        model = str(rng.choice(_TARGETS[model_format]))
        data = (bases / "bare" / model).read_bytes()
        other = (bases / "bare" / _TARGETS[model_format][-1 if model == _TARGETS[model_format][0] else 0]).read_bytes()
        name = f"altered.{model_format}"
        changed, how = altered(data, rng, (*mutators, splice_with(other)), turn)
        (folder / name).write_bytes(changed)
        return Laid(name, how, f"bare/float32.{model_format}")

    return lay


def listed(model_format: str, mutators: tuple[Mutator, ...], mended: bool) -> Lay:
    """Alter a file that a manifest lists."""

    def lay(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
        copied(bases, folder, "m", "digit.png")
        model = str(rng.choice(_TARGETS[model_format]))
        how = _alter(folder / "m" / model, rng, mutators, turn)
        if mended:
            mend_folder(folder / "m", model)
        return Laid(f"m/{model}", how, model)

    return lay


def in_folder(name: str, mutators: tuple[Mutator, ...], mended: bool) -> Lay:
    """Alter a file of the model folder that is not a model."""

    def lay(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
        copied(bases, folder, "m", "digit.png")
        path = folder / "m" / name
        how = _alter(path, rng, mutators, turn)
        if mended and name == "manifest.json":
            path.write_bytes(resigned(path.read_bytes()))
        elif mended:
            mend_folder(folder / "m", name)
        return Laid(f"m/{name}", how, str(rng.choice(_TARGETS["tflite"] + _TARGETS["onnx"])))

    return lay


def bundle(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
    """Alter a bundle."""
    copied(bases, folder, "m.zip", "digit.png")
    return Laid("m.zip", _alter(folder / "m.zip", rng, ZIP, turn))


def mended_bundle(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
    """Alter a file of a bundle, and correct every hash. The first tries take a file of each kind."""
    copied(bases, folder, "digit.png")
    data = (bases / "m.zip").read_bytes()
    files = members(data)
    firsts = list({Path(name).suffix: name for name in sorted(files)}.values())
    name = firsts[turn] if turn < len(firsts) else str(rng.choice(sorted(files)))
    kinds: dict[str, tuple[Mutator, ...]] = {
        ".npy": (alter_array, alter_array, alter_type),
        ".json": FIELDS,
        ".tflite": TFLITE,
        ".onnx": ONNX,
        ".txt": TEXT_LINES,
    }
    changed, how = altered(files[name], rng, kinds.get(Path(name).suffix, BYTES))
    if name == "manifest.json":
        changed = resigned(changed)
    (folder / "m.zip").write_bytes(mend_bundle(data, name, changed))
    return Laid("m.zip", f"{name}, {how}")


def one(name: str, mutators: tuple[Mutator, ...], *others: str) -> Lay:
    """Alter a file that stands alone."""

    def lay(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
        copied(bases, folder, name, *others)
        return Laid(name, _alter(folder / name, rng, mutators, turn), "float32.tflite")

    return lay


def one_of(home: str, mutators: tuple[Mutator, ...], *others: str) -> Lay:
    """Alter one file of a folder; one time in ten remove it."""

    def lay(bases: Path, folder: Path, rng: Random, turn: int) -> Laid:
        copied(bases, folder, home, *others)
        files = sorted(path for path in (folder / home).rglob("*") if path.is_file())
        path = files[int(rng.integers(len(files)))]
        if turn % 10 == 9:
            path.unlink()
            return Laid(home, f"{path.name}, removed", "float32.tflite")
        return Laid(home, f"{path.name}, {_alter(path, rng, mutators, turn)}", "float32.tflite")

    return lay


def _alter(path: Path, rng: Random, mutators: tuple[Mutator, ...], turn: int) -> str:
    changed, how = altered(path.read_bytes(), rng, mutators, turn)
    path.write_bytes(changed)
    return how
