"""The micro_README.md that goes with the sources for tflite-micro."""

from edgecnn.convert.integrations.micro_records import MicroAgreement, MicroRecord


def readme(record: MicroRecord, namespace: str) -> str:
    """Return what the files are, what was measured, and how to build them."""
    compared = "\n".join(_row(record, one) for one in record.compared)
    return f"""\
# {record.file} for tflite-micro

Made by `edgecnn export` from `{record.file}`, SHA-256
`{record.sha256}`. Everything is in the namespace `{namespace}`.

| file | content |
|---|---|
| `micro_model.h`, `micro_model.cc` | {record.size_bytes:,} bytes, aligned; the classes; `FromPixel`, the input for a pixel |
| `micro_operators.h` | the operators to register: {", ".join(record.operators)} |
| `micro_golden.h`, `micro_golden.cc` | {record.golden} test images as inputs, with the expected outputs and classes |
| `micro_main.cc` | runs them and prints PASS or FAIL |
| `micro_measured.json` | the numbers below |

## Measured on x86-64

The arena needs {record.arena_bytes:,} bytes: the smallest in which {record.runtime} runs the file.
Pointers have 8 bytes there and 4 on a microcontroller, so the same kernels need less on it. Optimized kernels, such as
CMSIS-NN's, take scratch memory in addition: `micro_main.cc` reserves a quarter and 2 KiB more, and prints what is used.

tflite-micro is right on {record.correct:,} of {record.images:,} test images. Other kernels compared with it:

| kernels | right | same class | equal outputs | largest difference |
|---|---|---|---|---|
{compared}

{_verdict(record)}

## Build

Compile the three `.cc` files as C++17 and link tflite-micro, as its Makefile or your board's SDK builds it. In your own
program keep all but `micro_main.cc` and the golden vectors.
"""


def _row(record: MicroRecord, one: MicroAgreement) -> str:
    steps = f"{one.largest_steps} steps of {record.step:.3g}" if one.largest_steps else "none"
    return f"| {one.kernels} | {one.correct:,} | {one.same_class:,} | {one.equal_rows:,} | {steps} |"


def _verdict(record: MicroRecord) -> str:
    """Return for each of the others whether the classes and outputs are the same, one per line."""
    lines = []
    for one in record.compared:
        others, rounded = record.images - one.same_class, record.images - one.equal_rows
        if others:
            lines.append(f"tflite-micro gives another class than {one.kernels} for {others:,} of {record.images:,} images.")
        elif rounded:
            lines.append(f"Every class is that of {one.kernels}, which rounds differently for {rounded:,} images.")
        else:
            lines.append(f"Every output is that of {one.kernels}.")
    return "\n".join(lines)
