"""Writes TFLite metadata into a .tflite file: what MediaPipe, TFLite's task library and Android's code generator read.

The schema is TensorFlow's metadata_schema.fbs; the numbers below are the positions of its fields. No package has it that
doesn't bring OpenCV.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgecnn.convert.export.program_files import Description, labels_text
from edgecnn.edge.compatibility.tflite import TfliteNeeds, read_needs
from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.manifest import LABELS_NAME, Preprocessing, TensorSpec
from edgecnn.edge.model.preprocess import input_table
from edgecnn.edge.runtimes import opener_for

NAME = "TFLITE_METADATA"
PROPERTIES_NAME = "edgecnn.json"
_RELEASE_NAME, _RELEASE_BYTES = "min_runtime_version", 16  # As TensorFlow's converter writes it.
_IDENTIFIER = b"M001"
_PARSER = "1.0.0"
_DESCRIPTIONS, _AXIS_LABELS = 1, 2  # AssociatedFileType
_FEATURE, _IMAGE = 1, 2  # ContentProperties
_UNKNOWN, _RGB, _GREY = 0, 1, 2  # ColorSpaceType
_NORMALIZATION = 1  # ProcessUnitOptions


def described(data: bytes, description: Description) -> bytes:
    """Return the file with metadata, the release that it needs, and a .zip of the files that it names."""
    from ai_edge_litert import schema_py_generated as schema

    colours = _colours(description.preprocessing, opener_for("tflite").open_model(data, 1).input_spec)
    model = to_object(data)
    release = _oldest_release(read_needs(data))
    entries = {NAME: _metadata(description, colours), _RELEASE_NAME: release and release.encode().ljust(_RELEASE_BYTES, b"\0")}
    model.metadata = [item for item in model.metadata or [] if item.name.decode() not in entries]
    for name, content in entries.items():
        if content is not None:
            buffer, entry = schema.BufferT(), schema.MetadataT()
            buffer.data = list(content)
            entry.name, entry.buffer = name, len(model.buffers)
            model.buffers.append(buffer)
            model.metadata.append(entry)
    record = json.dumps(description.record(), ensure_ascii=False)
    files = {LABELS_NAME: labels_text(description.class_names), PROPERTIES_NAME: record}
    return _with_zip(from_object(model), files)


def _oldest_release(needs: TfliteNeeds) -> str | None:
    """Return the oldest TensorFlow Lite release that runs a file; None if it is not known, or none does, as of 4-bit weights.

    The converter states that of the float model, which is wrong once the operators are quantized.
    """
    package, _, oldest = (needs.oldest_runtime() or "").partition(">=")
    if package == "tensorflow-lite":  # ai-edge-litert has numbers of its own.
        return oldest
    return None if needs.int8 or needs.int16 else needs.written


def _colours(taken: Preprocessing, spec: TensorSpec) -> int:
    """Return how a reader must order colours. Unknown, so that MediaPipe refuses the file, if it would pass wrong numbers.

    It passes red first; and to a uint8 input it passes the bytes as they are, whatever the scale.
    """
    values = input_table(taken, spec).values
    as_they_are = values.ndim == 1 and np.abs(values.astype(np.float32) - np.arange(256)).max() <= 1
    if spec.shape[-1] == 3 and (taken.channel_order == "bgr" or (spec.dtype == "uint8" and not as_they_are)):
        return _UNKNOWN
    return _RGB if spec.shape[-1] == 3 else _GREY


def _with_zip(data: bytes, files: dict[str, str]) -> bytes:
    """Return bytes with a .zip archive at the end, always the same one."""
    whole = io.BytesIO(data)
    with zipfile.ZipFile(whole, "a") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # Without a time, stored as it is.
    return whole.getvalue()


def _metadata(description: Description, colours: int) -> bytes:
    """Return the metadata as a FlatBuffer."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    image = _table(builder, {0: (colours, "Int8")})
    entry = _tensor(builder, "image", "Image to classify, pixels 0 to 255 before normalization", _IMAGE, image, {
        4: _offsets(builder, [_normalization(builder, description)]),
    })  # fmt: skip
    what = f"{'Probability' if description.output == 'probabilities' else 'Logit'} of each class"
    labels = _file(builder, LABELS_NAME, "Names of the classes", _AXIS_LABELS)
    output = _tensor(builder, "probability", what, _FEATURE, _table(builder, {}), {6: _offsets(builder, [labels])})
    graph = _table(builder, {2: _offsets(builder, [entry]), 3: _offsets(builder, [output])})
    texts = {0: description.name, 1: description.text(), 4: description.author, 5: description.license, 7: _PARSER}
    fields = {place: builder.CreateString(text) for place, text in texts.items() if text is not None}
    fields[3] = _offsets(builder, [graph])
    fields[6] = _offsets(builder, [_file(builder, PROPERTIES_NAME, "What edgecnn knows of the file", _DESCRIPTIONS)])
    builder.Finish(_table(builder, fields), _IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: Any, name: str, text: str, kind: int, content: int, others: dict[int, int]) -> int:
    """Write a `TensorMetadata`: its name, its description, what it holds, and other fields."""
    holds = _table(builder, {0: (kind, "Uint8"), 1: content})
    return _table(builder, {0: builder.CreateString(name), 1: builder.CreateString(text), 3: holds, **others})


def _normalization(builder: Any, description: Description) -> int:
    """Write a `ProcessUnit`: (pixel - mean) / std, in the units of pixels."""
    taken = description.preprocessing
    mean, std = ([value / taken.scale for value in values] for values in (taken.mean, taken.std))
    length = max(len(mean), len(std))
    vectors = [builder.CreateNumpyVector(np.resize(np.array(values, np.float32), length)) for values in (mean, std)]
    return _table(builder, {0: (_NORMALIZATION, "Uint8"), 1: _table(builder, dict(enumerate(vectors)))})


def _file(builder: Any, name: str, text: str, kind: int) -> int:
    """Write an `AssociatedFile`."""
    return _table(builder, {0: builder.CreateString(name), 1: builder.CreateString(text), 2: (kind, "Int8")})


def _table(builder: Any, fields: Mapping[int, int | tuple[int, str]]) -> int:
    """Write a table of fields by their positions: what was written before, or a number with flatbuffers' name of its kind."""
    builder.StartObject(max(fields, default=-1) + 1)
    for place, field in fields.items():
        value, kind = field if isinstance(field, tuple) else (field, "UOffsetTRelative")
        getattr(builder, f"Prepend{kind}Slot")(place, value, 0)
    return int(builder.EndObject())


def _offsets(builder: Any, items: Sequence[int]) -> int:
    builder.StartVector(4, len(items), 4)
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())
