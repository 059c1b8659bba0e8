"""Files of Keras 2: whole models in HDF5 (`.h5`, `.hdf5`), and its `.keras` files, which Keras 3 reads only in part.

Their layers are put into the words of Keras 3 (`convert/keras/keras2_config.py`), in a copy that Keras then loads. Teachable
Machine writes such files. Nothing in a file runs, and no other file is read, whatever it names.
"""

import io
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from edgecnn.convert.keras.keras2_config import mended
from edgecnn.convert.keras.layer_config import Refused
from edgecnn.edge.errors import ArtifactError, parsing
from edgecnn.edge.formats import TENSORFLOW

HDF5_MARK = b"\x89HDF\r\n\x1a\n"
CONFIG, METADATA = "config.json", "metadata.json"
_WEIGHTS = "model.weights.h5"
# What holds a model's layers in the weights of Keras 2.12 and 2.13, and of Keras 3.
_OLD_LAYERS, _LAYERS = "_layer_checkpoint_dependencies", "layers"
# What weights may take in memory by the size of a file, which Keras does not compress; and how many parts a file may have.
_MOST_BYTES_PER_BYTE = 16
_MOST_PARTS = 100_000
_MOST_CONFIG_BYTES = 2**26


class Written(NamedTuple):
    """What a Keras file says of itself.

    Attributes:
        keras: Version of Keras that wrote it; "1" if it does not say so, as Keras 1 did not.
        config: Its model: `class_name` and `config`.
    """

    keras: str
    config: dict[str, Any]

    @property
    def is_of_keras_3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.keras.split(".")[0].isdecimal() and int(self.keras.split(".")[0]) >= 3


def is_hdf5(data: bytes) -> bool:
    """Return whether bytes are an HDF5 file."""
    return data.startswith(HDF5_MARK)


def is_of_keras_3(data: bytes) -> bool:
    """Return whether bytes are a .keras file that Keras 3 reads as it is, or are damaged: that is Keras's to say."""
    if is_hdf5(data):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return not str(json.loads(_member(archive, METADATA))["keras_version"]).startswith("2.")
    except Exception:  # A damaged zip archive or JSON raises anything.
        return True


def read_written(data: bytes, origin: str) -> Written:
    """Return what a .keras or .h5 file says of itself. HDF5 is parsed by native code: call this in a child process.

    Raises:
        ArtifactError: If the file is damaged, refers to other files or has only weights; messages call it `origin`.
        MissingDependency: If h5py, which comes with TensorFlow, is not installed.
    """
    with parsing(f"{origin} can't be read as a Keras model", "copy it again, or save it again with the Keras that made it"):
        if is_hdf5(data):
            with _opened(data) as file:
                return _written_in_hdf5(file, origin)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            version = str(json.loads(_member(archive, METADATA))["keras_version"])
            return Written(version, json.loads(_member(archive, CONFIG)))


def in_words_of_keras_3(data: bytes, origin: str) -> tuple[bytes, str]:
    """Return a file's bytes as Keras 3 loads them, and the suffix by which it knows them.

    The bytes of a .keras file of Keras 3 are returned as they are.

    Raises:
        ArtifactError: As in `read_written`, and for a layer that Keras 3 lacks or that has code inside the file.
    """
    if is_of_keras_3(data):
        return data, ".keras"
    written = read_written(data, origin)
    with parsing(f"{origin} can't be read as a Keras model", "save it again with the Keras that made it"):
        try:
            # Keras 3 writes HDF5 too, in its own words.
            config = written.config if written.is_of_keras_3 else mended(written.config)
        except Refused as error:
            raise ArtifactError(f"{origin}: {error}") from error
        return (_with_config(data, config), ".h5") if is_hdf5(data) else (_zip_with_config(data, config), ".keras")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_CONFIG_BYTES:
        raise ValueError(f"{name} has more than {_MOST_CONFIG_BYTES:,} bytes")
    return archive.read(name)


def _h5py() -> Any:
    try:
        import h5py  # type: ignore[import-untyped]  # noqa: PLC0415 - It comes with TensorFlow, which a device lacks.
    except ModuleNotFoundError as error:
        raise TENSORFLOW.missing from error
    return h5py


@contextmanager
def _opened(data: bytes, mode: str = "r") -> Iterator[Any]:
    """Open HDF5 bytes whose parts are all inside and no larger than such a file's can be; a copy of them, to write."""
    buffer = io.BytesIO(data)
    with _h5py().File(buffer, mode) as file:
        _require_own_parts(file, len(data))
        yield file


def _require_own_parts(file: Any, size_bytes: int) -> None:
    """Raise if anything in an HDF5 file is a link, is stored elsewhere, or declares more numbers than the file can have."""
    h5py = _h5py()
    groups, seen, declared = [file], set[int](), 0
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"its part {name} is a link")
            part = group[name]
            place = h5py.h5o.get_info(part.id).addr
            if place in seen:
                raise ValueError(f"its part {name} is there twice")
            seen.add(place)
            if len(seen) > _MOST_PARTS:
                raise ValueError(f"it has more than {_MOST_PARTS:,} parts")
            if isinstance(part, h5py.Group):
                groups.append(part)
                continue
            if not isinstance(part, h5py.Dataset) or part.dtype.kind not in "biufSV":
                raise ValueError(f"its part {name} holds no numbers")
            if part.external or part.is_virtual:
                raise ValueError(f"its part {name} is in another file")
            declared += math.prod(part.shape or ()) * part.dtype.itemsize
            if declared > _MOST_BYTES_PER_BYTE * size_bytes:
                raise ValueError(f"its weights are {declared:,} bytes and more, in a file of {size_bytes:,}")


def _written_in_hdf5(file: Any, origin: str) -> Written:
    text = _text(file.attrs.get("model_config"))
    if text is None:
        if "layer_names" in file.attrs or "layers" in file or "model_weights" in file:
            raise ArtifactError(
                f"{origin} has only weights, not the layers: build the model in Keras, give it these with load_weights(), and "
                "save it whole with model.save('model.keras')"
            )
        raise ValueError("it holds no Keras model")
    version = _text(file.attrs.get("keras_version"))
    if version is None and "model_weights" in file:
        version = _text(file["model_weights"].attrs.get("keras_version"))
    return Written(version or "1", json.loads(text))


def _text(value: Any) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _with_config(data: bytes, config: dict[str, Any]) -> bytes:
    """Return an HDF5 file with another model configuration and no record of its training."""
    buffer = io.BytesIO(data)
    with _h5py().File(buffer, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)
        if "training_config" in file.attrs:
            del file.attrs["training_config"]
    return buffer.getvalue()


def _weights_of_keras_3(file: Any) -> bytes:
    """Return the weights of a .keras file, each where Keras 3 looks for it."""
    buffer, paths = io.BytesIO(), list[str]()
    file.visit(paths.append)
    with _h5py().File(buffer, "w") as new:
        for path, place in _places(paths).items():
            new.require_group(place) if isinstance(file[path], _h5py().Group) else new.create_dataset(place, data=file[path])
    return buffer.getvalue()


def _places(paths: Collection[str]) -> dict[str, str]:
    """Return where Keras 3 has what is at each path in the weights of a .keras file of Keras 2.

    On Windows Keras 2 divided parts of a path by backslashes (https://github.com/keras-team/keras/issues/18528). Keras 2.12 and
    2.13 called a layer by its class and a number that counted layers with weights twice; Keras 3 counts each once.
    """
    parts = {path: tuple(re.split(r"[/\\]", path)) for path in paths}
    counted = {of[: at + 1] for of in parts.values() for at in range(1, len(of)) if of[at - 1] == _OLD_LAYERS}
    names, seen = {}, Counter[tuple[str, ...]]()
    for of in sorted(counted, key=lambda of: int(_numbered(of[-1])[1])):
        kind = _numbered(of[-1])[0]
        number = seen[*of[:-1], kind]
        seen[*of[:-1], kind] += 1
        names[of] = f"{kind}_{number}" if number else kind
    return {
        path: "/".join(_LAYERS if part == _OLD_LAYERS else names.get(of[: at + 1], part) for at, part in enumerate(of))
        for path, of in parts.items()
    }


def _numbered(name: str) -> tuple[str, str]:
    """Return the class in the name of a layer, as `dense_2`, and its number; 0 for the first, which has none."""
    kind, line, number = name.rpartition("_")
    return (kind, number) if line and number.isdecimal() else (name, "0")


def _zip_with_config(data: bytes, config: dict[str, Any]) -> bytes:
    """Return a .keras file with another configuration, whose weights are checked as those of an HDF5 file."""
    config = {key: value for key, value in config.items() if key != "compile_config"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        with _opened(old.read(_WEIGHTS)) as file:
            weights = _weights_of_keras_3(file)
        for name, member in ((METADATA, old.read(METADATA)), (CONFIG, json.dumps(config).encode()), (_WEIGHTS, weights)):
            new.writestr(name, member)
    return buffer.getvalue()
