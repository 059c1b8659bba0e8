"""What was measured when the sources for tflite-micro were written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MicroAgreement:
    """How the outputs of tflite-micro and of another runtime's kernels agree on the test images.

    Attributes:
        kernels: The other runtime, with the kernels that it used.
        equal_rows: Number of images with equal outputs.
        same_class: Number of images with the same class.
        largest_steps: Largest difference of an output, in its steps.
        correct: Number of images that the other runtime classifies correctly.
    """

    kernels: str
    equal_rows: int
    same_class: int
    largest_steps: int
    correct: int


@dataclass(frozen=True)
class MicroRecord:
    """What was measured when the sources were written.

    Attributes:
        file: The .tflite file.
        sha256: SHA-256 of it.
        size_bytes: Size of the file in bytes, all of it constant data.
        runtime: Package and version of tflite-micro's interpreter, which has reference kernels.
        arena_bytes: The smallest arena with which it runs on x86-64, in bytes.
        operators: Methods of `MicroMutableOpResolver` that register the file's operators.
        step: Real value of one step of an output.
        images: Number of test images.
        correct: Number of images that tflite-micro classifies correctly.
        compared: How it agrees with LiteRT as it runs by default, and with LiteRT's reference kernels.
        golden: Number of golden vectors.
    """

    file: str
    sha256: str
    size_bytes: int
    runtime: str
    arena_bytes: int
    operators: tuple[str, ...]
    step: float
    images: int
    correct: int
    compared: tuple[MicroAgreement, ...]
    golden: int
