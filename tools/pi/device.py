"""Does what a user does with a bundle, on the board and, for comparison, on the workstation: `python3 device.py OUT.npz`.

`python3 device.py OUT.npz RUNTIME` only classifies the test images, in a runtime that runs files if it is named.

The current folder holds `mnist.zip` and `examples`. All commands go through the public entry point in one process, since an
emulated one takes seconds to start. The output holds each model's class probabilities of all test images, by its name.
"""

import contextlib
import io
import json
import platform
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from edgecnn.__main__ import main
from edgecnn.edge.data.dataset import load_test
from edgecnn.edge.data.image_file import read_image
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.formats import format_of
from edgecnn.edge.inference.classifier import Classifier
from edgecnn.edge.model.preprocess import Floats, Images
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes import opener_for

BUNDLE = Path("mnist.zip")
FRAMES = 8


def run(output: Path) -> None:
    """Examine the machine, verify, evaluate and predict with every file that has a runtime here, and write the results."""
    print(command("doctor", str(BUNDLE)))
    print(command("verify", str(BUNDLE)))
    test = load_test(BUNDLE)
    images = test.images(range(len(test.labels)))
    results: dict[str, Floats] = {}
    with ModelFolder(BUNDLE) as bundle:
        for name in bundle.runnable()[0]:
            results[name] = Classifier.load(bundle.path / name).predict(images).probabilities
        check_example(bundle.path / "int8.tflite", images)
    check_server(results, images)
    # Its times say nothing on an emulated board, and so few images could not decide a narrow limit.
    quick = "--launches 1 --min-runs 5 --min-seconds 0 --max-drop 20 --allow noise"
    print(command("bench", str(BUNDLE), "--runtime", "tflite", *quick.split()))
    shown = command("evaluate", str(BUNDLE), "--json", "evaluated.json")
    evaluated = {Path(item["file"]).name: item for item in json.loads(Path("evaluated.json").read_text())["files"]}
    for name, probabilities in results.items():
        classes = probabilities.argmax(axis=1)
        right = int((classes == test.labels).sum())
        if (evaluated[name]["images"], evaluated[name]["correct"]) != (len(images), right):
            raise SystemExit(f"{name}: evaluate counts {evaluated[name]['correct']}, Classifier.predict {right}")
        predicted = command("predict", f"{BUNDLE}/{name}", "--index", "0")
        if f"predicted {classes[0]} " not in predicted:
            raise SystemExit(f"{name}: edgecnn predict says another class than Classifier.predict:\n{predicted}")
    print(shown)
    np.savez(output, **results)  # type: ignore[arg-type] # Names of arrays, not of savez's own options.


def run_named(output: Path, runtime: str) -> None:
    """Classify the test images with every file that a named runtime runs, and write the results; say what it refuses."""
    opener = opener_for(runtime)
    test = load_test(BUNDLE)
    images = test.images(range(len(test.labels)))
    results: dict[str, Floats] = {}
    with ModelFolder(BUNDLE) as bundle:
        for name in bundle.names:
            if opener.runtime and format_of(Path(name)) in opener.runtime.formats:
                try:
                    results[name] = Classifier.load(bundle.path / name, runtime=opener).predict(images).probabilities
                except ArtifactError as error:
                    print(f"{runtime} refuses {error}")
    np.savez(output, **results)  # type: ignore[arg-type] # Names of arrays, not of savez's own options.


def check_example(model: Path, images: Images) -> None:
    """Run examples/classify.py on pictures of the first test images; it must find the same classes as the Classifier."""
    frames = Path("frames")
    frames.mkdir()
    for place in range(FRAMES):
        Image.fromarray(images[place, :, :, 0]).save(frames / f"{place}.png")
    classifier = Classifier.load(model)
    expected = []
    for path in sorted(frames.iterdir()):
        label = classifier.predict(read_image(path, classifier.shape, classifier.preprocessing)).labels[0]
        expected.append(f"{path.name}  {label}")
    program = [sys.executable, "examples/classify.py", str(model), str(frames)]
    printed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    for line in expected:
        if line not in printed:
            raise SystemExit(f"examples/classify.py must print {line!r}, printed:\n{printed}")
    print(printed)


def check_server(results: dict[str, Floats], images: Images) -> None:
    """Serve the bundle: the page must be there, and each file's answers to the first test images as in `results`."""
    program = [sys.executable, "-m", "edgecnn", "serve", str(BUNDLE), "--port", "0"]
    server = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout
        address = server.stdout.readline().split()[2]
        with urllib.request.urlopen(address) as page:  # noqa: S310 - Loopback.
            if b'id="paper"' not in page.read():
                raise SystemExit(f"{address} is not the page")
        for place in range(FRAMES):
            stream = io.BytesIO()
            Image.fromarray(images[place, :, :, 0]).save(stream, "PNG")
            asked = urllib.request.Request(f"{address}api/classify", stream.getvalue(), {"Content-Type": "image/png"})  # noqa: S310
            with urllib.request.urlopen(asked) as answer:  # noqa: S310
                (picture,) = json.load(answer)["pictures"]
            labels = {item["file"]: int(item["label"]) for item in picture["answers"]}
            expected = {name: int(rows[place].argmax()) for name, rows in results.items()}
            if labels != expected:
                raise SystemExit(f"edgecnn serve says {labels} of test image {place}, Classifier.predict {expected}")
    finally:
        server.terminate()
    if code := server.wait():
        raise SystemExit(f"edgecnn serve ended with exit code {code}")
    print(f"edgecnn serve: the page, and {FRAMES} pictures as Classifier.predict")


def command(*arguments: str) -> str:
    """Run a command as the console script does and return its output; a failure ends the program."""
    printed, progress = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(progress):
        code = main(list(arguments))
    if code:
        raise SystemExit(f"edgecnn {' '.join(arguments)}: exit code {code}\n{printed.getvalue()}{progress.getvalue()}")
    return printed.getvalue()


if __name__ == "__main__":
    print(f"{platform.machine()}, Python {platform.python_version()}")
    output, *named = sys.argv[1:]
    run_named(Path(output), named[0]) if named else run(Path(output))
