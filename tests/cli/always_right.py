"""Images on which a model is right."""

import gzip
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Manifest

# A benchmark that takes no time.
SHORT = ("--launches", "2", "--min-runs", "4", "--min-seconds", "0")


def always_right(folder: Path, idx_folder: Path) -> Path:
    """Give the folder's manifest images with one label changed, and a reference that has every label right."""
    data = folder.parent / "relabelled"
    shutil.copytree(idx_folder, data)
    path = data / "t10k-labels-idx1-ubyte.gz"
    plain = bytearray(gzip.decompress(path.read_bytes()))
    plain[8] = (plain[8] + 1) % 3
    path.write_bytes(gzip.compress(plain))
    test = load_test(data)
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3, dtype=np.float32)[test.labels])
    (folder / "reference.npy").write_bytes(buffer.getvalue())
    manifest = Manifest.load(folder)
    assert manifest.reference
    replace(
        manifest,
        dataset=replace(manifest.dataset, source=str(data), test_sha256=test.sha256),
        reference=replace(manifest.reference, sha256=sha256(buffer.getvalue()), test_sha256=test.sha256),
    ).save(folder)
    return data
