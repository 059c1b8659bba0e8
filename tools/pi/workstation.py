"""Makes the boards' files with TensorFlow on this machine: bundles with every kind of file."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgecnn.benchmarks.emulator.userland import cache_folder, key_of, made_whole
from edgecnn.edge.formats import FORMATS, RUNTIMES, device_formats
from edgecnn.edge.manifest import Manifest
from tests.drawings import write_idx_folder
from tools.pi.wheels import PROJECT_ROOT

TEST_IMAGES = 500
# 4-bit weights need a newer runtime than there is for 32 bits.
_LEFT_OUT = {"int4"}
PRECISIONS_OF = {
    name: tuple(word for word in FORMATS[name].precisions if word not in _LEFT_OUT)
    for name in device_formats()
    if not FORMATS[name].apart
}
"""The precisions of each format that boards are tried with."""
FILES = {name: tuple(map(FORMATS[name].file_name, words)) for name, words in PRECISIONS_OF.items()}
"""The exported files of each format: one of each of these precisions."""
# So that the 32-bit board loads its files too.
_TARGET = "tflite-runtime==2.14"
_TARGETED = RUNTIMES[_TARGET.partition("==")[0]].formats[0]
# The sources that determine the files, which are kept until one of them changes.
_PRODUCT = ("edge/**/*.py", "benchmarks/**/*.py", "convert/**/*.py", "edgecnn/**/*.py", "constraints.txt")
_BUNDLE = (*_PRODUCT, "tools/pi/workstation.py")
# One process for all, since TensorFlow takes seconds to start. One epoch is enough to compare files.
_PROGRAM = """
import sys
from edgecnn.__main__ import main
for command in sys.argv[1].splitlines():
    if code := main(command.split()):
        sys.exit(f"edgecnn {command}: exit code {code}")
"""
_EXPORTS = (
    f"export models/model.keras --format {name} {' '.join(f'--quantize {word}' for word in PRECISIONS_OF[name])}"
    f"{f' --for {_TARGET}' if name == _TARGETED else ''}"
    for name in FILES
)
_COMMANDS = "\n".join(
    (
        "train --epochs 1 --out models",
        *_EXPORTS,
        f"bundle models --out aarch64.zip --images {TEST_IMAGES}",
        f"bundle models --out armv7l.zip --images {TEST_IMAGES} {' '.join(f'--file {file}' for file in FILES[_TARGETED])}",
    )
)
# The file that TensorFlow's converter alone makes of the same model; edgecnn's int8.tflite must not cost more.
PLAIN = "plain-int8.tflite"
_CONVERT = f"""
import pathlib
import numpy
import tensorflow
from edgecnn.edge.data.dataset import load_dataset
images = load_dataset("mnist").train.images(range(300)).astype(numpy.float32) / 255
converter = tensorflow.lite.TFLiteConverter.from_keras_model(tensorflow.keras.models.load_model("models/model.keras"))
converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([image[numpy.newaxis]] for image in images)
converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tensorflow.int8
pathlib.Path("{PLAIN}").write_bytes(converter.convert())
"""


class Failed(Exception):
    """Something failed on the workstation."""


def make_bundles() -> Path:
    """Return a folder with a bundle for each machine: MNIST's CNN in every format and precision, 500 test images; and `PLAIN`.

    The 32-bit board gets the files of its runtime's format only.

    Raises:
        Failed: If training, exporting or bundling fails.
    """
    target = cache_folder() / f"bundle-{_key(_BUNDLE)}"
    with made_whole(target) as made:
        if made:
            _python(made, "-c", _PROGRAM, _COMMANDS)
            _python(made, "-c", _CONVERT)
    return target


def kept_bundles() -> Path:
    """Return a folder like that of `make_bundles`, of the small files that the tests keep: it takes no TensorFlow.

    Raises:
        Failed: If bundling fails.
    """
    kept = PROJECT_ROOT / "tests/kept"
    target = cache_folder() / f"kept-bundle-{_key((*_BUNDLE, 'tests/kept/b*/*', 'tests/drawings.py'))}"
    with made_whole(target) as made:
        if made:
            models = made / "models"
            for name in ("by_name", "bars"):  # Files of one model; the second brings the reference for both.
                shutil.copytree(kept / name, models, dirs_exist_ok=True)
            manifest, other = (Manifest.load(kept / name) for name in ("bars", "by_name"))
            images = replace(manifest.dataset, source=str(write_idx_folder(made / "images")))
            replace(manifest, dataset=images).with_artifacts(*other.exported).save(models)
            _python(made, "-c", _PROGRAM, "bundle models --out aarch64.zip")
    return target


def _key(patterns: Sequence[str]) -> str:
    sources = [path for pattern in patterns for path in sorted(PROJECT_ROOT.glob(pattern))]
    return key_of(*(path.read_bytes() for path in sources))


def _python(folder: Path, *arguments: str) -> None:
    # TensorFlow imports fastest from compiled files, which some environments disable.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(PROJECT_ROOT)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"the files for the boards could not be made here:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
