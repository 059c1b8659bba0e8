"""The list of public int8 files: what is measured of a pair, and how its files and images leave a repository."""

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgecnn.benchmarks.measure.options import PlanOptions
from edgecnn.convert.tflite.calibrate import calibrate_tflite
from edgecnn.convert.tflite.quantize import quantize_tflite
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.errors import ConversionError
from edgecnn.edge.model.interface import SCHEMES, Interface
from tests.drawings import drawings
from tests.kept.make import KEPT
from tools.repairs import measure, results
from tools.repairs.images import split, write_images
from tools.repairs.measure import Comparison, Measured, compare
from tools.repairs.page import PAGE, to_page, to_text
from tools.repairs.repositories import Repositories
from tools.repairs.results import count, new_row, read_rows, write_rows
from tools.repairs.table import Pair, PublicImages, read_table

UNIT = Interface(SCHEMES["unit"])
COMMIT = "0" * 40
FLOAT32, INT8 = KEPT / "bars" / "float32.tflite", KEPT / "bars" / "int8.tflite"


@pytest.fixture(autouse=True)
def short_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a file takes is not what is tested here."""
    monkeypatch.setattr(measure, "_PLAN", PlanOptions(min_seconds=0, min_runs=40, launches=2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 calibration images and 300 held-out images of the kept model's kind."""
    arrays: dict[str, Any] = {}
    for part, many, seed in (("train", 60, 1), ("test", 300, 2)):
        images, labels = drawings(many, seed)
        arrays |= {f"x_{part}": images[..., np.newaxis], f"y_{part}": labels.astype(np.int64)}
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """An int8 file whose layers clip almost all of their range, as if calibrated on wrong images."""
    images, _ = drawings(60, 1)
    ranges = calibrate_tflite(FLOAT32.read_bytes(), images[..., np.newaxis].astype(np.float32) / 255)
    entry = next(iter(ranges))  # The input keeps its range, or its scale would not fit the preprocessing.
    narrow = {name: (low, high) if name == entry else (low / 50, high / 50) for name, (low, high) in ranges.items()}
    path = tmp_path / "broken.tflite"
    path.write_bytes(quantize_tflite(FLOAT32.read_bytes(), "int8", narrow))
    return path


def test_a_broken_int8_file_is_said_to_lose_and_is_mended(data: Path, broken: Path, tmp_path: Path) -> None:
    found = compare(FLOAT32, broken, data, UNIT, tmp_path)
    assert found.images == 300
    assert found.float_percent > 95
    assert found.theirs.loses
    assert found.theirs.low_points > 10
    assert found.theirs.verdict == "FAIL"
    assert found.ours
    assert found.ours.is_as_good
    assert found.outcome == "mended"
    assert found.ours.size_bytes == (tmp_path / "edgecnn.tflite").stat().st_size < found.float_bytes == FLOAT32.stat().st_size
    assert min(found.float_time_us, found.theirs.time_us, found.ours.time_us) > 0


def test_an_intact_int8_file_is_no_loss(data: Path, tmp_path: Path) -> None:
    found = compare(FLOAT32, INT8, data, UNIT, tmp_path)
    assert (found.outcome, found.theirs.loses) == ("no loss", False)
    assert found.alike
    assert found.alike > 0.999


def test_files_of_two_models_are_no_pair(data: Path, tmp_path: Path) -> None:
    other = to_object(FLOAT32.read_bytes())
    largest = max((buffer for buffer in other.buffers if buffer.data is not None), key=lambda buffer: len(buffer.data))
    largest.data = np.frombuffer(bytes(largest.data), np.float32)[::-1].copy().view(np.uint8)
    (tmp_path / "other.tflite").write_bytes(from_object(other))
    with pytest.raises(ConversionError, match="two models"):
        compare(tmp_path / "other.tflite", INT8, data, UNIT, tmp_path)


def measured(drop: float, low: float, high: float) -> Measured:
    return Measured(drop, low, high, "FAIL", 2048, 20.0)


@pytest.mark.parametrize(
    ("theirs", "ours", "outcome"),
    [
        (measured(3, 1.1, 5), measured(0.5, -1, 2), "mended"),
        (measured(3, 1.1, 5), measured(0.6, -1, 2), "not mended"),
        (measured(3, 1.1, 5), None, "not mended"),
        (measured(3, 0.9, 5), measured(0.6, -1, 2), "no loss"),
        (measured(3, 0.9, 5), measured(3, 1.1, 5), "worse"),
        (measured(0, -1, 1), None, "no loss"),
    ],
)
def test_only_a_loss_that_is_shown_counts(theirs: Measured, ours: Measured | None, outcome: str) -> None:
    assert Comparison(100, 90.0, 4096, 30.0, 1.0, theirs, ours).outcome == outcome


def repository(folder: Path, files: dict[str, bytes]) -> str:
    """Make a bare repository of one commit, and return the commit."""
    work, bare = folder / "work", folder / "owner+name" / "any"
    work.mkdir(parents=True)
    for name, data in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(data)
    said = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for words in (("init", "-q"), ("add", "-A"), (*said, "commit", "-q", "-m", "a"), ("clone", "-q", "--bare", ".", str(bare))):
        git(work, *words)
    return git(work, "rev-parse", "HEAD").strip()


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_files_come_from_a_commit_and_a_pointer_is_refused(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
    commit = repository(tmp_path, {"a/b [1].tflite": b"model", "large.tflite": pointer, "other": b""})
    found = Repositories(tmp_path)
    assert sorted(found.list_files("owner/name", commit)) == ["a/b [1].tflite", "large.tflite", "other"]
    found.write_files("owner/name", commit, ["a/b [1].tflite"], tmp_path / "out")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "out").rglob("*.*")] == [("b [1].tflite", b"model")]
    with pytest.raises(SystemExit, match=r"large\.tflite is only a pointer"):
        found.write_files("owner/name", commit, ["large.tflite"], tmp_path / "out")
    with pytest.raises(SystemExit, match="owner/name: git ls-tree failed"):
        found.list_files("owner/name", COMMIT)


def test_nothing_of_a_repository_runs(tmp_path: Path) -> None:
    commit = repository(tmp_path, {"a.tflite": b"model"})
    hook = tmp_path / "owner+name" / "any" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    Repositories(tmp_path).write_files("owner/name", commit, ["a.tflite"], tmp_path / "out")
    assert (tmp_path / "out" / "a.tflite").exists()
    assert not (tmp_path / "ran").exists()


def test_a_repository_that_can_not_be_cloned_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    with pytest.raises(SystemExit, match=r"owner/name can't be cloned: put a clone of it into .*owner\+name"):
        Repositories(tmp_path / "repositories").list_files("owner/name", COMMIT)


def described(path: str, **fields: object) -> PublicImages:
    given: dict[str, object] = {"about": "", "repo": "owner/name", "path": path, "classes": ("b", "a"), "shape": (4, 6, 3)}
    return dataclasses.replace(PublicImages(""), **{**given, **fields})  # type: ignore[arg-type]  # A test's own fields.


def test_images_keep_their_labels_and_no_image_is_in_both_parts(
    tmp_path: Path, png: Callable[[tuple[int, int, int]], bytes]
) -> None:
    shades = {"a": (200, 0, 0), "b": (0, 200, 0)}
    files = {f"{label}/{number}.png": png(shade) for label, shade in shades.items() for number in range(10)}
    commit = repository(tmp_path, {**files, "c/1.png": b"not read", "notes.txt": b""})
    write_images(described(r"(?P<label>[abc])/\d\.png", commit=commit), Repositories(tmp_path), tmp_path / "images.npz")
    with np.load(tmp_path / "images.npz") as found:
        assert (len(found["y_train"]), len(found["y_test"])) == (6, 14)
        for part in ("train", "test"):
            pixels, labels = found[f"x_{part}"], found[f"y_{part}"]
            assert pixels.shape[1:] == (4, 6, 3)
            assert (pixels[:, 0, 0].argmax(axis=1) == np.where(labels == 0, 1, 0)).all()  # Green is b, which comes first.


def test_only_images_for_testing_are_held_out_where_the_path_says_so() -> None:
    names = [f"{part}/{number}" for part in ("test", "train") for number in range(20)]
    parts = split(described(r"(?P<part>test|train)/(?P<label>\d+)", held_out=5, calibration=7), names)
    assert {name.split("/")[0] for name in parts["test"]} == {"test"}
    assert {name.split("/")[0] for name in parts["train"]} == {"train"}
    assert (len(parts["test"]), len(parts["train"])) == (5, 7)


def test_every_pair_of_the_table_names_a_commit_and_images() -> None:
    table = read_table()
    assert len(table.pairs) >= 20
    assert len({pair.repo for pair in table.pairs}) >= 10
    for pair in table.pairs:
        assert len(pair.commit) == 40
        assert pair.interface.preprocessing.scale > 0
    for images in table.images.values():
        assert bool(images.data) != (len(images.commit) == 40)


def test_the_page_is_that_of_the_kept_results() -> None:
    table, rows = read_table(), read_rows()
    kept = [(pair, rows[pair.name]) for pair in table.pairs if pair.name in rows]
    assert len(kept) >= 20
    assert PAGE.read_text(encoding="utf-8") == to_page(kept, table.images)


def test_the_page_counts_the_pairs_and_tells_what_was_refused(tmp_path: Path) -> None:
    pairs = [Pair("owner/name", "MIT", COMMIT, "f.tflite", f"{name}.tflite", "digits", "raw") for name in "abcd"]
    good, bad = measured(0.1, -0.2, 0.3), measured(12.3, 10, 14)
    comparisons = [
        Comparison(900, 99.0, 4096, 30.0, 1.0, theirs, ours) for theirs, ours in ((bad, good), (bad, bad), (good, bad))
    ]
    rows = [new_row(pair, found) for pair, found in zip(pairs, comparisons, strict=False)]
    rows.append(new_row(pairs[3], None, "the file is a poem"))
    write_rows(rows, tmp_path / "rows.json")
    assert [*read_rows(tmp_path / "rows.json").values()] == rows
    assert count(rows) == results.Counts(measured=3, lost=2, mended=1, worse=1, unmeasured=1)
    page = to_page([*zip(pairs, rows, strict=True)], {"digits": described("", repo="", data="mnist")})
    assert (
        "| owner/name (MIT; --preprocess raw) | a.tflite, 0000000 | 99.0 % | +12.30 (+10.00 to +14.00) | +0.10 (-0.20 to +0.30)"
        in page
    )
    assert "owner/name@0000000/d.tflite: the file is a poem" in page
    assert "not mended" in to_text([*zip(pairs, rows, strict=True)])


@pytest.fixture
def png() -> Callable[[tuple[int, int, int]], bytes]:
    """Return a function that writes a picture of one colour."""
    import io  # noqa: PLC0415

    from PIL import Image  # noqa: PLC0415

    def write(color: tuple[int, int, int]) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (12, 8), color).save(file, "PNG")
        return file.getvalue()

    return write
