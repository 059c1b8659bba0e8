"""Classify images as they arrive: print the label of each and the time it took.

python3 classify.py int8.tflite FOLDER            the images in a folder
python3 classify.py int8.tflite FOLDER --watch    and images that appear in it, until it is stopped
python3 classify.py int8.tflite --camera          the frames of a Raspberry Pi's camera, until it is stopped
"""

import argparse
import io
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

import edgecnn as ec

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm")
LOOK_SECONDS = 0.2
CAMERA_SIZE = (640, 480)
LAST = 10_000  # A service runs for months: it keeps this many times.

Images = NDArray[np.uint8]
Frames = Iterator[tuple[str, Callable[..., Images]]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Classify images as they arrive.")
    parser.add_argument(
        "model",
        type=Path,
        help="a .tflite or .onnx file with its manifest.json in the same folder, or a file in a bundle: mnist.zip/int8.tflite",
    )
    parser.add_argument("folder", type=Path, nargs="?", help="a folder of images")
    parser.add_argument("--watch", action="store_true", help="continue with images that appear in the folder")
    parser.add_argument("--camera", action="store_true", help="classify the frames of a Raspberry Pi's camera")
    options = parser.parse_args()
    if options.camera == bool(options.folder):
        parser.error("name a folder of images or --camera, one of them")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # A file's name need not be text.
    try:
        classifier = ec.Classifier.load(options.model)
        frames = camera_frames(classifier) if options.camera else folder_frames(options.folder, options.watch, classifier)
        classify(classifier, frames)
    except ec.EdgeCnnError as error:
        print(f"classify: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # The reader has closed the pipe; Python must not flush it again.
    return 0


def classify(classifier: ec.Classifier, frames: Frames) -> None:
    """Print a line for each frame, and a summary at the end, also after Ctrl-C or a stop by systemd."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    classified = skipped = 0
    read_ms: deque[float] = deque(maxlen=LAST)
    predict_ms: deque[float] = deque(maxlen=LAST)
    with suppress(KeyboardInterrupt):
        for name, read in frames:
            doubts: list[str] = []
            start_ns = time.perf_counter_ns()
            try:
                image = read(on_doubt=doubts.append)
            except ec.ArtifactError as error:  # One bad frame must not end a service.
                skipped += 1
                print(f"skipped: {error}", file=sys.stderr, flush=True)
                continue
            read_ns = time.perf_counter_ns()
            prediction = classifier.predict(image)
            predict_ms.append((time.perf_counter_ns() - read_ns) / 1e6)
            read_ms.append((read_ns - start_ns) / 1e6)
            classified += 1
            label = f"{prediction.labels[0]}  {prediction.probabilities[0].max():.1%}"
            if prediction.accepted is not None and not prediction.accepted[0]:
                label = f"not sure: {label}"
            for doubt in doubts:  # A digit that is faint, small or cut, or one of several.
                print(f"warning: {doubt}", file=sys.stderr, flush=True)
            print(f"{name}  {label}  read {read_ms[-1]:.2f} ms  predict {predict_ms[-1]:.2f} ms", flush=True)
    print(f"{classified} frames, {skipped} skipped")
    for what, times in (("read", read_ms), ("predict", predict_ms)):
        if times:
            print(f"{what}: median {median(times):.2f} ms, largest {max(times):.2f} ms of the last {len(times)}", flush=True)


def folder_frames(folder: Path, watch: bool, classifier: ec.Classifier) -> Frames:
    """Yield a folder's images in the order of their names and, with `watch`, those that are new or rewritten."""
    before: dict[Path, tuple[int, ...]] = {}
    taken: dict[Path, tuple[int, ...]] = {}
    while True:
        files: dict[Path, tuple[int, ...]] = {}
        try:
            for path in folder.iterdir():
                if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                    with suppress(FileNotFoundError):  # It was deleted.
                        status = path.stat()
                        files[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise ec.ConfigError(f"{folder} can't be read ({error.strerror}): name a folder of images") from error
        if not (files or watch):
            raise ec.ConfigError(f"{folder} has no images ({', '.join(SUFFIXES)}): name another, or wait for them with --watch")
        for path in sorted(files):
            # A file that changes between two looks is still being written.
            if taken.get(path) != files[path] and (before.get(path) == files[path] or not watch):
                taken[path] = files[path]
                yield path.name, partial(ec.read_image, path, classifier)
        if not watch:
            return
        before, taken = files, {path: taken[path] for path in taken if path in files}
        time.sleep(LOOK_SECONDS)


def camera_frames(classifier: ec.Classifier) -> Frames:
    """Yield the frames of the Raspberry Pi's camera. Waiting for a frame is not part of reading."""
    try:
        from picamera2 import Picamera2  # type: ignore[import-not-found] # noqa: PLC0415 # Only a Pi has it.

        camera = Picamera2()
    except (ImportError, ValueError) as error:  # ValueError: its libraries were built for another numpy.
        raise ec.MissingDependency(
            f"picamera2 can't be imported ({error}): sudo apt install python3-picamera2, and see docs/how-to/camera.md"
        ) from error
    except (RuntimeError, IndexError) as error:
        raise ec.ConfigError(
            f"no camera can be opened ({error}): rpicam-hello --list-cameras shows what is connected"
        ) from error
    with camera:
        # picamera2's BGR888 is red, green, blue in an array.
        camera.configure(camera.create_video_configuration(main={"format": "BGR888", "size": CAMERA_SIZE}))
        camera.start()
        for number in count(1):
            yield f"frame {number}", partial(ec.read_image, camera.capture_array(), classifier)


if __name__ == "__main__":
    sys.exit(main())
