"""Where a camera's frames come from: the Raspberry Pi's camera, a USB camera, or a folder of pictures."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgecnn.edge.data.image_file import load_pillow, read_pixels
from edgecnn.edge.errors import ConfigError, MissingDependency, field
from edgecnn.edge.inference.pictures import image_files
from edgecnn.edge.install_command import install_command
from edgecnn.edge.model.preprocess import Images

FRAMES_PER_SECOND = 30.0
"""Rate at which the pictures of a folder are shown; a camera has its own."""
_SIZE = (640, 480)


class Frames(Protocol):
    """A camera that was opened.

    Attributes:
        name: What the page calls it.
    """

    name: str

    def read(self) -> tuple[int, Images]:
        """Wait for the next frame: its number from 1, and uint8 (h, w, 3), colours as RGB.

        Raises:
            ArtifactError: If a picture can't be read.
            OSError: If the camera gives none.
        """
        ...

    def close(self) -> None:
        """Close the camera."""


def open_camera(named: str) -> Frames:
    """Open a camera.

    Args:
        named: `picamera2`, the number of a USB camera, or a folder of pictures.

    Raises:
        ConfigError: If there is no such camera or folder.
        MissingDependency: If the package that reads it is missing.
    """
    if named == "picamera2":
        return _PiCamera()
    if named.isascii() and named.isdecimal():
        return _UsbCamera(int(named))
    if not Path(named).is_dir():
        raise ConfigError(
            f"{field('camera')}={named} is no folder: use picamera2, the number of a USB camera, or a folder of pictures"
        )
    return PictureFolder(Path(named))


class PictureFolder:
    """The pictures of a folder, over and over, as a camera would show them: who is late misses some."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = "a folder of pictures"
        self._paths = list(image_files(folder))
        load_pillow()  # What is missing is said at the start.
        self._clock, self._start, self._number = clock, clock(), 0

    def read(self) -> tuple[int, Images]:
        """See `Frames`."""
        # Frame n is there at n / rate; of those that have passed only the last is left.
        self._number = max(self._number + 1, int((self._clock() - self._start) * FRAMES_PER_SECOND))
        time.sleep(max(0.0, self._start + self._number / FRAMES_PER_SECOND - self._clock()))
        path = self._paths[(self._number - 1) % len(self._paths)]
        return self._number, read_pixels(path, "remove it from the folder")[0]

    def close(self) -> None:
        """Do nothing."""


class _UsbCamera:
    def __init__(self, number: int) -> None:
        try:
            import cv2  # type: ignore[import-not-found, unused-ignore] # noqa: PLC0415 # 40 MB, only for a USB camera.
        except ModuleNotFoundError as error:
            command = install_command("usb-camera")
            raise MissingDependency(f"OpenCV, which reads USB cameras, is not installed: {command}") from error
        self.name = f"USB camera {number}"
        self._camera: Any = cv2.VideoCapture(number)
        if not self._camera.isOpened():
            raise ConfigError(f"{field('camera')}={number} can't be opened: v4l2-ctl --list-devices shows what is connected")
        self._number = 0

    def read(self) -> tuple[int, Images]:
        """See `Frames`. A frame that the driver dropped is not known."""
        found, frame = self._camera.read()
        if not found:
            raise OSError(f"{self.name} gives no more frames")
        self._number += 1
        return self._number, np.ascontiguousarray(frame[..., ::-1])

    def close(self) -> None:
        """Close the camera."""
        self._camera.release()


class _PiCamera:
    def __init__(self) -> None:
        try:
            from picamera2 import Picamera2  # type: ignore[import-not-found] # noqa: PLC0415 # Only a Pi has it.

            camera = Picamera2()
        except (ImportError, ValueError) as error:  # ValueError: its libraries were built for another numpy.
            raise MissingDependency(f"picamera2 can't be imported ({error}): sudo apt install python3-picamera2") from error
        except (RuntimeError, IndexError) as error:
            raise ConfigError(
                f"no camera can be opened ({error}): rpicam-hello --list-cameras shows what is connected"
            ) from error
        self.name = "picamera2"
        # picamera2's BGR888 is red, green, blue in an array.
        camera.configure(camera.create_video_configuration(main={"format": "BGR888", "size": _SIZE}))
        camera.start()
        self._camera, self._number = camera, 0

    def read(self) -> tuple[int, Images]:
        """See `Frames`."""
        self._number += 1
        return self._number, self._camera.capture_array()

    def close(self) -> None:
        """Close the camera."""
        self._camera.close()
