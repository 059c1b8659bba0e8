"""TFLite files through ai-edge-litert, with float operators computed in float16 by CPUs that have such instructions.

LiteRT does so for a file whose metadata allows it, and in float32 on any other CPU. The metadata is added in memory.
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/delegates/xnnpack/README.md
"""

from edgecnn.edge.compatibility.tflite_graph import from_object, to_object
from edgecnn.edge.errors import parsing
from edgecnn.edge.runtimes.litert import InterpretedModel
from edgecnn.edge.runtimes.litert import import_library as import_library

_ALLOWS = "reduced_precision_support"
_FLOAT16 = b"fp16accfp16"


def open_model(data: bytes, threads: int, signature: str | None = None, streaming: bool = False) -> InterpretedModel:
    """Open a model's bytes. See `edgecnn.edge.runtimes.base.OpenModel`."""
    # It has another name in results than LiteRT, since probabilities differ from those in float32.
    return InterpretedModel("litert-fp16", allow_float16(data), threads, signature, streaming)


def allow_float16(data: bytes) -> bytes:
    """Return a .tflite file with metadata that allows float16; what it had of this kind is replaced.

    Raises:
        ArtifactError: If the bytes are not such a file.
    """
    from ai_edge_litert import schema_py_generated as schema

    with parsing("it is not a tflite file, or is damaged", "copy it again"):
        model = to_object(data)
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = list(_FLOAT16)
        entry.name, entry.buffer = _ALLOWS, len(model.buffers)
        model.buffers.append(buffer)
        others = [item for item in model.metadata or [] if item.name != _ALLOWS.encode()]
        model.metadata = [*others, entry]
        return from_object(model)
