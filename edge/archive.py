"""A bundle: one .zip file with model files, the images to judge them on, and what they computed where they were made.

A bundle comes from elsewhere, so opening it trusts nothing that it says: names are from a fixed list, sizes are bounded
before a byte is unpacked, every hash is checked, and arrays are read without pickle.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from edgecnn.edge.errors import ArtifactError, ConfigError, because, parsing
from edgecnn.edge.files import read_bytes
from edgecnn.edge.formats import FORMATS, PRECISIONS
from edgecnn.edge.inference.answer_mix import ExpectedAnswers
from edgecnn.edge.manifest import (
    LABELS_NAME,
    MANIFEST_NAME,
    MOST_MANIFEST_BYTES,
    REFERENCE_NAME,
    TRIED_STEMS,
    TUNED_STEM,
    Manifest,
)
from edgecnn.edge.records import from_json

SCHEMA = 1
INDEX_NAME = "bundle.json"
# A bundle is also an .npz dataset, so these have the names of one.
TEST_IMAGES_NAME, TEST_LABELS_NAME = "x_test.npy", "y_test.npy"
GOLDEN_IMAGES_NAME = "golden.images.npy"

_STEMS = (*PRECISIONS, TUNED_STEM, *TRIED_STEMS)
_MODELS = tuple(row.file_name(stem) for row in FORMATS.values() if row.on_device for stem in _STEMS)
# Largest unpacked size of each member. A model for a small device has a few megabytes; images stay in the bundle.
_LIMITS = {
    INDEX_NAME: 2**20,
    MANIFEST_NAME: MOST_MANIFEST_BYTES,
    REFERENCE_NAME: 2**30,
    LABELS_NAME: 2**24,
    TEST_LABELS_NAME: 2**27,
    TEST_IMAGES_NAME: 2**36,
    GOLDEN_IMAGES_NAME: 2**27,
    **dict.fromkeys(_MODELS, 2**30),
    **{f"golden.{name}.npy": 2**26 for name in _MODELS},
}
_READ_IN_PLACE = (TEST_IMAGES_NAME, TEST_LABELS_NAME)
_BLOCK = 2**20
_NPY_START = 10  # Bytes of a .npy file of version 1.0 before its header, of which the last two are the header's length.


@dataclass(frozen=True)
class Member:
    """A file in a bundle.

    Attributes:
        size_bytes: Unpacked size in bytes.
        sha256: SHA-256 of the file.
    """

    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """The contents of a bundle: `bundle.json`.

    Attributes:
        schema: Number of the layout.
        members: Every other file by its name.
        golden_runtimes: Package and version that computed each model's golden outputs.
        machine: Machine that computed them: CPU and architecture.
        expected: What each model answered for the test images; empty in bundles of earlier releases.
    """

    schema: int
    members: dict[str, Member]
    golden_runtimes: dict[str, str]
    machine: str
    expected: tuple[ExpectedAnswers, ...] = ()


def golden_name(model: str) -> str:
    """Return the name of a model's golden outputs in a bundle."""
    return f"golden.{model}.npy"


def unpack(path: Path, folder: Path) -> Manifest:
    """Check a whole bundle, and unpack its files, except images and labels, into a new folder. Return its manifest.

    Images and labels are read in place. Messages about the files show the folder's name.

    Raises:
        ArtifactError: If it is not a bundle, is damaged, or holds anything else.
        ConfigError: If the disk has no room to unpack.
    """
    folder.mkdir()
    with _reading(path):
        archive = zipfile.ZipFile(path)
    with archive:
        return _unpack(archive, path, folder)


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> Manifest:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(names) > len(_LIMITS):
        raise ArtifactError(f"{path} has {len(names)} files, more than any bundle: make it with edgecnn bundle")
    for info in infos:
        if info.filename not in _LIMITS or names.count(info.filename) > 1:
            raise ArtifactError(f"{path} has a file {info.filename[:80]!r} that no bundle holds: make it with edgecnn bundle")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArtifactError(f"{path}: {info.filename} is compressed as in no bundle: make it with edgecnn bundle")
        if info.file_size > _LIMITS[info.filename]:
            raise ArtifactError(
                f"{path}: {info.filename} claims {info.file_size:,} bytes, more than {_LIMITS[info.filename]:,}: "
                "make it with edgecnn bundle"
            )
    for name in (INDEX_NAME, MANIFEST_NAME):
        if name not in names:
            raise ArtifactError(f"{path} has no {name}, so it is not a bundle: make one with edgecnn bundle")
    _copy(archive, INDEX_NAME, path, folder / INDEX_NAME)
    index = read_index(folder)
    if sorted(index.members) != sorted(name for name in names if name != INDEX_NAME):
        raise ArtifactError(f"{path} does not hold the files listed in its {INDEX_NAME}: make it with edgecnn bundle")
    for name, member in index.members.items():
        target = None if name in _READ_IN_PLACE else folder / name
        if _copy(archive, name, path, target) != member:
            raise ArtifactError(f"{path}: {name} is not the file that {INDEX_NAME} lists (SHA-256 differs): copy it again")
    manifest = Manifest.load(folder)
    _require_complete(manifest, index, path)
    if _images_sha256(archive, path) != manifest.dataset.test_sha256:
        raise ArtifactError(f"{path} holds other test images than its {MANIFEST_NAME} records: make it with edgecnn bundle")
    return manifest


def _images_sha256(archive: zipfile.ZipFile, path: Path) -> str:
    """Return `Split.sha256` of the images and labels: the hash of their bytes, without the two headers."""
    digest = hashlib.sha256()
    for name in _READ_IN_PLACE:
        blocks = _blocks(archive, name, path)
        first = next(blocks, b"")
        digest.update(first[_NPY_START + int.from_bytes(first[_NPY_START - 2 : _NPY_START], "little") :])
        for block in blocks:
            digest.update(block)
    return digest.hexdigest()


def read_index(folder: Path) -> Index:
    """Read `bundle.json` of an unpacked bundle.

    Raises:
        ArtifactError: If it is damaged or of another schema.
    """
    return from_json(Index, read_bytes(folder / INDEX_NAME), f"{folder.name}: {INDEX_NAME}", SCHEMA)


def _copy(archive: zipfile.ZipFile, name: str, path: Path, target: Path | None) -> Member:
    """Read a member to its end, but never past its limit; write it to `target` if given, and return its `Member`."""
    digest, size = hashlib.sha256(), 0
    target = target or Path("/dev/null")
    try:
        with target.open("wb") as copy:
            for block in _blocks(archive, name, path):
                size += len(block)
                if size > _LIMITS[name]:
                    raise ArtifactError(f"{path}: {name} is larger than it claims: make it with edgecnn bundle")
                digest.update(block)
                copy.write(block)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be unpacked into {target.parent} {because(error, 'set TMPDIR to a folder with room')}"
        ) from error
    return Member(size, digest.hexdigest())


def _blocks(archive: zipfile.ZipFile, name: str, path: Path) -> Iterator[bytes]:
    with _reading(path), archive.open(name) as member:
        while block := member.read(_BLOCK):
            yield block


def _reading(path: Path) -> AbstractContextManager[None]:
    return parsing(f"{path} is not a whole bundle", "copy it again")


def _require_complete(manifest: Manifest, index: Index, path: Path) -> None:
    """Check that a bundle's manifest and files belong together."""
    models = [artifact.path for artifact in manifest.exported]
    needed = {MANIFEST_NAME, REFERENCE_NAME, TEST_IMAGES_NAME, TEST_LABELS_NAME, GOLDEN_IMAGES_NAME}
    needed |= {*models, *map(golden_name, models), *(file.path for file in manifest.for_programs)}
    if needed != set(index.members) or not models or (manifest.reference and manifest.reference.path) != REFERENCE_NAME:
        raise ArtifactError(f"{path}: {MANIFEST_NAME} belongs to other files: make it with edgecnn bundle")
    if [item.file for item in index.expected] not in ([], models):
        raise ArtifactError(f"{path}: {INDEX_NAME} has answers of other files: make it with edgecnn bundle")
    for item in index.expected:
        if not item.fits(len(manifest.class_names)):
            raise ArtifactError(f"{path}: {INDEX_NAME} has wrong counts of answers of {item.file}: make it with edgecnn bundle")


def write_member(archive: zipfile.ZipFile, name: str, source: Path) -> Member:
    """Add a file to a bundle, always as the same bytes, and return its `Member`.

    Raises:
        ValueError: If no bundle has a file with this name, or of this size.
    """
    if name not in _LIMITS or source.stat().st_size > _LIMITS[name]:
        raise ValueError(f"name and size must be those of a bundle's files, got {name} of {source.stat().st_size} bytes")
    # Without a fixed time a member would get the clock's; 1980 is the earliest time in the format.
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    digest = hashlib.sha256()
    with source.open("rb") as file, archive.open(info, "w", force_zip64=True) as member:
        while block := file.read(_BLOCK):
            digest.update(block)
            member.write(block)
    return Member(source.stat().st_size, digest.hexdigest())
