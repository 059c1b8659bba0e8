"""A bundle: model files, the images to judge them on, and what they computed where they were made, in one .zip file.

It comes from somewhere else, so that opening it trusts nothing that it says: names are of a fixed list, sizes are bounded
before a byte is unpacked, every hash is checked, and arrays are read without pickle.
"""

import hashlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ArtifactError, ConfigError
from edge.files import read_bytes
from edge.manifest import MANIFEST_NAME, PRECISIONS, Manifest
from edge.records import from_json

SUFFIX = ".zip"
SCHEMA = 1
INDEX_NAME = "bundle.json"
REFERENCE_NAME = "reference.npy"
# As an .npz file of a data set calls them: a bundle is one.
IMAGES_NAME, LABELS_NAME = "x_test.npy", "y_test.npy"
GOLDEN_IMAGES_NAME = "golden.images.npy"

_MODELS = tuple(f"{precision}.{suffix}" for suffix in ("tflite", "onnx") for precision in PRECISIONS)
# What each member may take, unpacked. A model of a small device has some megabytes; images stay in the bundle.
_LIMITS = {
    INDEX_NAME: 2**20,
    MANIFEST_NAME: 2**26,
    REFERENCE_NAME: 2**30,
    LABELS_NAME: 2**27,
    IMAGES_NAME: 2**36,
    GOLDEN_IMAGES_NAME: 2**27,
    **dict.fromkeys(_MODELS, 2**30),
    **{f"golden.{name}.npy": 2**26 for name in _MODELS},
}
_READ_IN_PLACE = (IMAGES_NAME, LABELS_NAME)
_BLOCK = 2**20


@dataclass(frozen=True)
class Member:
    """A file in a bundle.

    Attributes:
        size_bytes: Unpacked.
        sha256: Of its bytes.
    """

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """What is in a bundle: `bundle.json`.

    Attributes:
        schema: Number of the layout.
        members: Every other file by its name.
        golden_runtimes: Package and version that computed each model's golden outputs.
        machine: On what: CPU and architecture.
    """

    schema: int
    members: dict[str, Member]
    golden_runtimes: dict[str, str]
    machine: str


def golden_name(model: str) -> str:
    """Return what a bundle calls a model's golden outputs."""
    return f"golden.{model}.npy"


def bundle_of(path: Path) -> Path | None:
    """Return the bundle that a path is, or that it names a file of (`mnist.zip/int8.tflite`); None if there is none."""
    return next((part for part in (path, path.parent) if part.suffix.lower() == SUFFIX and part.is_file()), None)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Check all of a bundle and give a folder with its files, but the images and labels, which are read where they are.

    The folder is made in TMPDIR, is named like the bundle, and is gone when the block ends.

    Raises:
        ArtifactError: If it is no bundle, is damaged, or holds anything that does not belong there.
        ConfigError: If there is no room to unpack.
    """
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as temporary:
        folder = Path(temporary) / path.name
        folder.mkdir()
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack(archive, path, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            # RuntimeError: encrypted, or a method of compression that Python lacks.
            raise ArtifactError(f"{path} is not a whole bundle ({error}): copy it again") from error
        except OSError as error:
            raise ConfigError(
                f"{path} can't be unpacked into {temporary} ({error.strerror}): set TMPDIR to a folder with room"
            ) from error
        yield folder


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> None:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(names) > len(_LIMITS):
        raise ArtifactError(f"{path} has {len(names)} files, more than any bundle: make it with edgecnn bundle")
    for info in infos:
        if info.filename not in _LIMITS or names.count(info.filename) > 1:
            raise ArtifactError(f"{path} has a file {info.filename[:80]!r} that no bundle has: make it with edgecnn bundle")
        if info.file_size > _LIMITS[info.filename]:
            raise ArtifactError(
                f"{path}: {info.filename} says it takes {info.file_size:,} bytes, more than {_LIMITS[info.filename]:,}: "
                "make it with edgecnn bundle"
            )
    for name in (INDEX_NAME, MANIFEST_NAME):
        if name not in names:
            raise ArtifactError(f"{path} has no {name}: it is no bundle, make one with edgecnn bundle")
    _copy(archive, INDEX_NAME, path, folder / INDEX_NAME)
    index = read_index(folder)
    if sorted(index.members) != sorted(name for name in names if name != INDEX_NAME):
        raise ArtifactError(f"{path} does not hold the files that its {INDEX_NAME} lists: make it with edgecnn bundle")
    for name, member in index.members.items():
        target = None if name in _READ_IN_PLACE else folder / name
        if _copy(archive, name, path, target) != member:
            raise ArtifactError(f"{path}: {name} is not the file that {INDEX_NAME} lists (SHA-256 differs): copy it again")
    _require_complete(Manifest.load(folder), index, path)


def read_index(folder: Path) -> Index:
    """Read `bundle.json` of an unpacked bundle.

    Raises:
        ArtifactError: If it is damaged or of another schema.
    """
    return from_json(Index, read_bytes(folder / INDEX_NAME), f"{folder.name}: {INDEX_NAME}", SCHEMA)


def _copy(archive: zipfile.ZipFile, name: str, path: Path, target: Path | None) -> Member:
    """Read a member to its end, into `target` if there is one, and return what it is; never more than its limit."""
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as member, (target or Path("/dev/null")).open("wb") as copy:
        while block := member.read(_BLOCK):
            size += len(block)
            if size > _LIMITS[name]:
                raise ArtifactError(f"{path}: {name} is larger than it says: make it with edgecnn bundle")
            digest.update(block)
            copy.write(block)
    return Member(size, digest.hexdigest())


def _require_complete(manifest: Manifest, index: Index, path: Path) -> None:
    """Check that a bundle's manifest and files are of each other."""
    models = [artifact.path for artifact in manifest.artifacts if artifact.format != "keras"]
    needed = {MANIFEST_NAME, REFERENCE_NAME, IMAGES_NAME, LABELS_NAME, GOLDEN_IMAGES_NAME}
    needed |= {*models, *map(golden_name, models)}
    if needed != set(index.members) or not models or (manifest.reference and manifest.reference.path) != REFERENCE_NAME:
        raise ArtifactError(f"{path}: {MANIFEST_NAME} is of other files: make it with edgecnn bundle")


def write_member(archive: zipfile.ZipFile, name: str, source: Path) -> Member:
    """Add a file to a bundle, always as the same bytes, and return what it is.

    Raises:
        ValueError: If no bundle has a file of this name, or of this size.
    """
    if name not in _LIMITS or source.stat().st_size > _LIMITS[name]:
        raise ValueError(f"name and size must be of a bundle's files, got {name} of {source.stat().st_size} bytes")
    # Without a time of its own a member would get the clock's; 1980 is the first that the format has.
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    digest = hashlib.sha256()
    with source.open("rb") as file, archive.open(info, "w", force_zip64=True) as member:
        while block := file.read(_BLOCK):
            digest.update(block)
            member.write(block)
    return Member(source.stat().st_size, digest.hexdigest())
