"""The C++ sources for tflite-micro and their README, as text; names begin with `micro_`, since models lie beside them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecnn.convert.integrations.micro_records import MicroAgreement, MicroRecord
from edgecnn.edge.model.preprocess import InputTable
from edgecnn.edge.model.threshold import Threshold
from edgecnn.edge.text import counted

_COLUMNS = 20
# Largest accepted difference of an output: kernels that are not bit-exact round halves otherwise.
_TOLERANCE_STEPS = 2
_MODEL_ARRAY = "alignas(16) const unsigned char kModel[kModelBytes]"
_C_TYPES = {"int8": "int8_t", "uint8": "uint8_t"}
_PRINTED = re.compile(r"[A-Za-z0-9 _.,:;()\[\]<>=+*/&%#@!-]")
_INCLUDES = "#include <stddef.h>\n#include <stdint.h>\n"


@dataclass(frozen=True, eq=False)
class MicroModel:
    """What the sources are made of.

    Attributes:
        name: Name of the model, of which the namespace is made.
        record: What was measured with the .tflite file.
        data: The file's bytes.
        shape: (h, w, c) of an image.
        class_names: One for each class.
        table: The model's input for each pixel value.
        inputs: Inputs of the golden vectors, int8 or uint8 (n, numbers).
        outputs: Their outputs, int8 or uint8 (n, classes).
        zero_point: The output that stands for 0.
        threshold: Threshold of the file's answers; None for none.
        logits: Whether the outputs are logits.
    """

    name: str
    record: MicroRecord
    data: bytes
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    table: InputTable
    inputs: NDArray[Any]
    outputs: NDArray[Any]
    zero_point: int
    threshold: Threshold | None = None
    logits: bool = False

    @property
    def namespace(self) -> str:
        """The namespace of everything in the sources: the model's name as C++ writes one."""
        return f"edgecnn_{re.sub('[^a-z0-9]+', '_', self.name.lower()).strip('_') or 'model'}"


def sources(model: MicroModel) -> dict[str, str]:
    """Return the sources by file name."""
    not_sure = 'model::Accepted(outputs) ? "" : " (not sure)"' if model.threshold else '""'
    return {
        "micro_model.h": _header(model, "MODEL", _model_header(model), "#include <math.h>\n" if model.logits else ""),
        "micro_model.cc": _array_file(model, "micro_model.h", f"{_MODEL_ARRAY} = {_block(model.data)};"),
        "micro_operators.h": _header(model, "OPERATORS", _operators(model), _RESOLVER),
        "micro_golden.h": _header(model, "GOLDEN", _golden_header(model)),
        "micro_golden.cc": _array_file(model, "micro_golden.h", _golden_arrays(model)),
        "micro_main.cc": _MAIN.replace("NAMESPACE", model.namespace).replace("NOT_SURE", not_sure),
    }


def c_text(text: str) -> str:
    """Return text as a C string of UTF-8, in which anything unusual is an octal escape."""
    octal = (chr(byte) if _PRINTED.fullmatch(chr(byte)) else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(octal)}"'


def _about(model: MicroModel) -> str:
    """Return the comment at the top of each file; the file's own name may have been anybody's."""
    file = "".join(letter if _PRINTED.fullmatch(letter) else "_" for letter in model.record.file)
    return f"// Made by edgecnn export from {file}: {len(model.data)} bytes, SHA-256\n// {model.record.sha256}\n"


def _header(model: MicroModel, what: str, body: str, includes: str = "") -> str:
    guard = f"{model.namespace.upper()}_{what}_H_"
    return (
        f"{_about(model)}#ifndef {guard}\n#define {guard}\n\n{_INCLUDES}{includes}\n"
        f"namespace {model.namespace} {{\n\n{body}\n}}  // namespace {model.namespace}\n\n#endif  // {guard}\n"
    )


def _array_file(model: MicroModel, header: str, body: str) -> str:
    start, name = f'{_about(model)}#include "{header}"', model.namespace
    return f"{start}\n\nnamespace {name} {{\n\n{body}\n\n}}  // namespace {name}\n"


def _model_header(model: MicroModel) -> str:
    height, width, channels = model.shape
    names = ",\n    ".join(map(c_text, model.class_names))
    order = " blue first," if model.table.bgr else ""
    return f"""\
// The .tflite file. FlatBuffers need it aligned.
constexpr size_t kModelBytes = {len(model.data)};
extern const unsigned char kModel[kModelBytes];
constexpr char kModelSha256[] = "{model.record.sha256}";

// The smallest arena that {model.record.runtime} needs for it on x86-64, whose pointers
// have 8 bytes, with the reference kernels. Optimized kernels may take more: micro_main.cc prints what is used.
constexpr size_t kMeasuredArenaBytes = {model.record.arena_bytes};

// The image: rows first,{order} one number for each channel of a pixel.
constexpr int kHeight = {height};
constexpr int kWidth = {width};
constexpr int kChannels = {channels};
{_pixels(model)}
// An output's {"logit" if model.logits else "probability"} is kOutputScale * (output - kOutputZeroPoint).
constexpr float kOutputScale = {model.record.step!r}f;
constexpr int kOutputZeroPoint = {model.zero_point};
constexpr int kClasses = {len(model.class_names)};
constexpr const char* kClassNames[kClasses] = {{
    {names}}};
{_accepted(model)}"""


def _accepted(model: MicroModel) -> str:
    """Return the function that says whether an answer reaches the threshold, as `edgecnn.edge.model.preprocess.scores`."""
    threshold, kind = model.threshold, _C_TYPES[model.outputs.dtype.name]
    if threshold is None:
        return ""
    real = "kOutputScale * (outputs[i] - kOutputZeroPoint)"
    if model.outputs.shape[1] == 1:  # Of class 1 of two.
        real = f"i ? {real.replace('[i]', '[0]')} : {'0' if model.logits else '1 - ' + real.replace('[i]', '[0]')}"
    asked = f"At most {100 * threshold.max_error:g} % of the accepted are wrong, with {threshold.confidence:.0%} confidence"
    seen = f"of {threshold.images} validation images {threshold.accepted} were accepted, {threshold.wrong} of them wrong"
    limited = threshold.most is not None
    most = f"constexpr float kMostScore = {np.float32(threshold.most)!s}f;\n" if limited else ""
    within = " && score <= kMostScore" if limited else ""
    return f"""
// Whether an answer is accepted; if not, say "not sure". {asked}:
// {seen}.
constexpr float kLeastScore = {np.float32(threshold.least)!s}f;  // The {threshold.score}.
{most}inline float RealOutput(const {kind}* outputs, int i) {{ return {real}; }}
inline bool Accepted(const {kind}* outputs) {{
  float score = RealOutput(outputs, 0);
  for (int i = 1; i < kClasses; ++i) score = RealOutput(outputs, i) > score ? RealOutput(outputs, i) : score;
{_SCORES[threshold.score] if model.logits or threshold.score == "margin" else ""}  return score >= kLeastScore{within};
}}
"""


# From the largest logit.
_SUM = "  float sum = 0;\n  for (int i = 0; i < kClasses; ++i) sum += expf(RealOutput(outputs, i) - score);\n"
# The largest of the others: as often as the largest occurs but once.
_NEXT = """\
  float next = 0;
  bool passed = false;
  for (int i = 0; i < kClasses; ++i) {
    if (RealOutput(outputs, i) == score && !passed) {
      passed = true;
    } else if (RealOutput(outputs, i) > next) {
      next = RealOutput(outputs, i);
    }
  }
  score -= next;
"""
_SCORES = {
    "max-logit": "",
    "energy": f"{_SUM}  score += logf(sum);\n",
    "probability": f"{_SUM}  score = 1 / sum;\n",
    "margin": _NEXT,
}


def _pixels(model: MicroModel) -> str:
    """Return the function from a pixel to the model's input."""
    kind, table = _C_TYPES[model.inputs.dtype.name], model.table
    start = "// The model's input for a pixel from 0 to 255."
    if table.shift is not None:
        first = int(table.values[0])
        return f"{start}\ninline {kind} FromPixel(uint8_t pixel, int) {{ return static_cast<{kind}>(pixel + ({first})); }}\n"
    rows = np.atleast_2d(table.values)
    values = ",\n".join(_block(row, "    ") for row in rows)
    index, named = ("channel", " channel") if len(rows) > 1 else ("0", "")
    return (
        f"{start}\nconstexpr {kind} kPixelInputs[{len(rows)}][256] = {{\n{values}}};\n"
        f"inline {kind} FromPixel(uint8_t pixel, int{named}) {{ return kPixelInputs[{index}][pixel]; }}\n"
    )


def _golden_header(model: MicroModel) -> str:
    entry, end = (_C_TYPES[array.dtype.name] for array in (model.inputs, model.outputs))
    return f"""\
// Test images as inputs, and what {model.record.runtime} computes of them.
using Input = {entry};
using Output = {end};
constexpr int kGoldenVectors = {len(model.inputs)};
constexpr size_t kInputs = {model.inputs.shape[1]};
constexpr size_t kOutputs = {model.outputs.shape[1]};
extern const Input kGoldenInputs[kGoldenVectors][kInputs];
extern const Output kGoldenOutputs[kGoldenVectors][kOutputs];
extern const int kGoldenClasses[kGoldenVectors];

// The largest accepted difference of an output: other kernels may round otherwise.
constexpr int kToleranceSteps = {_TOLERANCE_STEPS};
"""


def _golden_arrays(model: MicroModel) -> str:
    classes = ", ".join(map(str, model.outputs.argmax(axis=1).tolist()))
    inputs, outputs = (",\n".join(_block(row, "    ") for row in rows) for rows in (model.inputs, model.outputs))
    return (
        f"alignas(4) const Input kGoldenInputs[kGoldenVectors][kInputs] = {{\n{inputs}}};\n\n"
        f"const Output kGoldenOutputs[kGoldenVectors][kOutputs] = {{\n{outputs}}};\n\n"
        f"const int kGoldenClasses[kGoldenVectors] = {{{classes}}};"
    )


def _operators(model: MicroModel) -> str:
    lines = "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{method}());" for method in model.record.operators)
    return f"""\
// The operators of the file, and no others, so that only their code is linked.
using OpResolver = tflite::MicroMutableOpResolver<{len(model.record.operators)}>;

inline TfLiteStatus RegisterOperators(OpResolver& resolver) {{
{lines}
  return kTfLiteOk;
}}
"""


_RESOLVER = '\n#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"\n'


def _block(values: bytes | Sequence[int] | NDArray[Any], indent: str = "") -> str:
    """Return numbers in braces, a few to a line."""
    numbers = [str(int(value)) for value in values]
    lines: Iterable[str] = (",".join(numbers[at : at + _COLUMNS]) for at in range(0, len(numbers), _COLUMNS))
    between = f",\n{indent}    "
    return f"{indent}{{\n{indent}    {between.join(lines)}}}"


_MAIN = """\
// Runs the golden vectors with tflite-micro, and prints PASS or FAIL.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "micro_golden.h"
#include "micro_model.h"
#include "micro_operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace model = NAMESPACE;

namespace {

// Room for the scratch memory of optimized kernels. Lower it to what is printed as used.
constexpr size_t kArenaBytes = model::kMeasuredArenaBytes + model::kMeasuredArenaBytes / 4 + 2048;
alignas(16) uint8_t arena[kArenaBytes];

int Fail(const char* why) {
  std::printf("FAIL: %s\\n", why);
  return 1;
}

// Returns the first of the largest outputs.
int ClassOf(const model::Output* outputs) {
  int best = 0;
  for (size_t i = 1; i < model::kOutputs; ++i) {
    if (outputs[i] > outputs[best]) best = static_cast<int>(i);
  }
  return best;
}

int RunGolden(tflite::MicroInterpreter& interpreter) {
  int exact = 0, same_class = 0, largest = 0;
  for (int i = 0; i < model::kGoldenVectors; ++i) {
    std::memcpy(interpreter.input(0)->data.raw, model::kGoldenInputs[i], sizeof(model::kGoldenInputs[i]));
    if (interpreter.Invoke() != kTfLiteOk) return Fail("the model can't be run");
    const auto* outputs = reinterpret_cast<const model::Output*>(interpreter.output(0)->data.raw);
    bool equal = true;
    for (size_t k = 0; k < model::kOutputs; ++k) {
      const int difference = std::abs(outputs[k] - model::kGoldenOutputs[i][k]);
      if (difference > 0) equal = false;
      if (difference > largest) largest = difference;
    }
    const int found = ClassOf(outputs);
    if (equal) ++exact;
    if (found == model::kGoldenClasses[i]) ++same_class;
    std::printf("vector %d: %s%s%s\\n", i, model::kClassNames[found], NOT_SURE, equal ? "" : ", other outputs than expected");
  }
  std::printf("%d of %d vectors bit-exact, %d with the expected class, largest difference %d steps, limit %d\\n", exact,
              model::kGoldenVectors, same_class, largest, model::kToleranceSteps);
  if (same_class < model::kGoldenVectors) return Fail("another class than expected");
  if (largest > model::kToleranceSteps) return Fail("other outputs than expected");
  std::printf("PASS\\n");
  return 0;
}

}  // namespace

int main() {
  tflite::InitializeTarget();
  const tflite::Model* network = tflite::GetModel(model::kModel);
  if (network->version() != TFLITE_SCHEMA_VERSION) return Fail("the file has another schema than this tflite-micro");
  model::OpResolver resolver;
  if (model::RegisterOperators(resolver) != kTfLiteOk) return Fail("an operator can't be registered");
  tflite::MicroInterpreter interpreter(network, resolver, arena, kArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) return Fail("the tensors can't be allocated: is the arena large enough?");
  if (interpreter.input(0)->bytes != sizeof(model::kGoldenInputs[0])) return Fail("the input has another size");
  if (interpreter.output(0)->bytes != sizeof(model::kGoldenOutputs[0])) return Fail("the output has another size");
  std::printf("arena: %u bytes used of %u\\n", static_cast<unsigned>(interpreter.arena_used_bytes()),
              static_cast<unsigned>(kArenaBytes));
  return RunGolden(interpreter);
}
"""


def readme(record: MicroRecord, namespace: str, kind: str) -> str:
    """Return what the files are, what was measured on which kind of images, and how to build them."""
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

tflite-micro is right on {record.correct:,} of {counted(record.images, kind)}. Other kernels compared with it:

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
