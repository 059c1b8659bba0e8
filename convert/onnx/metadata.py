"""Writes a description into a .onnx file, as properties that every runtime can read."""

import json

from edgecnn.convert.export.description import Description


def described(data: bytes, description: Description) -> bytes:
    """Return the file with `metadata_props`. See `edgecnn.convert.export.description.Describer`.

    A protobuf message that follows another is merged with it: the file stays as it is, and the properties follow it.
    """
    import onnx

    # ONNX lists these two names in its MetadataProps.md.
    said = {"model_author": description.author, "model_license": description.license}
    properties = {name: text for name, text in said.items() if text is not None}
    for name, value in description.record().items():
        properties[f"edgecnn.{name}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    added = onnx.ModelProto(doc_string=description.text())
    for name, text in properties.items():
        added.metadata_props.add(key=name, value=text)
    return data + bytes(added.SerializeToString(deterministic=True))
