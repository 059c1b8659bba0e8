"""The sources have the file's bytes and the golden vectors, whatever compiler reads them."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.convert.integrations.micro_records import MicroRecord
from edgecnn.convert.integrations.micro_sources import MicroModel, c_text, sources
from edgecnn.edge.files import sha256
from edgecnn.edge.manifest import Preprocessing, Quantization, TensorSpec
from edgecnn.edge.model.preprocess import input_table, scores, to_probabilities, top_logits
from edgecnn.edge.model.threshold import ScoreName
from tests.edge.inference.thresholds import THRESHOLD

PIXELS = np.arange(256, dtype=np.uint8)
INPUT = TensorSpec("image", (1, 4, 4, 3), "int8", Quantization((1 / 255,), (-128,)))
PLAIN = Preprocessing(1 / 255, "letterbox", "any")
BY_CHANNEL = replace(PLAIN, mean=(0.1, 0.2, 0.3), std=(2.0, 3.0, 4.0), channel_order="bgr")
HOSTILE = 'a"b\\\n*/ // ??) é % \N{SNOWMAN}'

# Writes the arrays, the model's address modulo 16, and the input of each pixel of each channel.
DUMP = """
#include <cstdio>
#include <cstring>
#include "micro_golden.h"
#include "micro_model.h"
namespace m = NAMESPACE;
int main() {
  std::fwrite(m::kModel, 1, m::kModelBytes, stdout);
  std::fwrite(m::kGoldenInputs, 1, sizeof(m::kGoldenInputs), stdout);
  std::fwrite(m::kGoldenOutputs, 1, sizeof(m::kGoldenOutputs), stdout);
  std::fwrite(m::kGoldenClasses, 1, sizeof(m::kGoldenClasses), stdout);
  std::putchar(static_cast<int>(reinterpret_cast<unsigned long>(m::kModel) % 16));
  for (int c = 0; c < m::kChannels; ++c)
    for (int pixel = 0; pixel < 256; ++pixel) std::putchar(static_cast<unsigned char>(m::FromPixel(pixel, c)));
  for (int k = 0; k < m::kClasses; ++k) std::fwrite(m::kClassNames[k], 1, std::strlen(m::kClassNames[k]) + 1, stdout);
}
"""


def micro_model(preprocessing: Preprocessing = PLAIN, scale: float = 1 / 255) -> MicroModel:
    rng = np.random.default_rng(0)
    data = rng.bytes(997)
    operators = ("AddConv2D", "AddSoftmax")
    return MicroModel(
        name="My model",
        record=MicroRecord("int8.tflite", sha256(data), 997, "tflite-micro 1", 4096, operators, 1 / 256, 3, 3, (), 3),
        data=data,
        shape=(4, 4, 3),
        class_names=("cat", HOSTILE),
        table=input_table(preprocessing, replace(INPUT, quantization=Quantization((scale,), (-128,)))),
        inputs=rng.integers(-128, 128, (3, 48)).astype(np.int8),
        outputs=rng.integers(-128, 128, (3, 2)).astype(np.int8),
        zero_point=-128,
    )


def written(model: MicroModel, folder: Path) -> None:
    for name, text in sources(model).items():
        (folder / name).write_text(text)


def compiler(name: str, package: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return found


def printed(program: str, model: MicroModel, folder: Path) -> bytes:
    """Return what a program that reads the sources prints."""
    written(model, folder)
    (folder / "program.cc").write_text(program.replace("NAMESPACE", model.namespace))
    files = [str(folder / name) for name in ("program.cc", "micro_model.cc", "micro_golden.cc")]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([compiler("g++", "g++"), *flags, *files, "-o", str(folder / "program")], check=True)
    return subprocess.run([str(folder / "program")], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("preprocessing", "scale"),
    [(PLAIN, 1 / 255), (PLAIN, 1 / 128), (BY_CHANNEL, 1 / 255)],
    ids=["shift", "table", "channels"],
)
def test_a_program_of_the_sources_has_the_same_bytes_and_inputs(
    preprocessing: Preprocessing, scale: float, tmp_path: Path
) -> None:
    model = micro_model(preprocessing, scale)
    dumped = printed(DUMP, model, tmp_path)
    assert (model.table.shift is None) == (scale != 1 / 255 or preprocessing is BY_CHANNEL)
    assert len({row.tobytes() for row in np.atleast_2d(model.table.values)}) == (3 if preprocessing is BY_CHANNEL else 1)
    pixels = np.broadcast_to(model.table.values, (3, 256))
    classes = model.outputs.argmax(axis=1).astype(np.int32)
    names = b"".join(name.encode() + b"\0" for name in model.class_names)
    parts = (model.data, model.inputs.tobytes(), model.outputs.tobytes(), classes.tobytes(), b"\0", pixels.tobytes(), names)
    assert dumped == b"".join(parts)


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m33"])
def test_a_microcontroller_gets_constants_of_the_files_size(core: str, tmp_path: Path) -> None:
    model = micro_model()
    written(model, tmp_path)
    command = [compiler("arm-none-eabi-g++", "gcc-arm-none-eabi"), f"-mcpu={core}", "-mthumb", "-std=c++17", "-ffreestanding"]
    size_of = compiler("arm-none-eabi-size", "binutils-arm-none-eabi")
    for name, size in (("micro_model", len(model.data)), ("micro_golden", model.inputs.nbytes + model.outputs.nbytes + 3 * 4)):
        target = tmp_path / f"{name}.o"
        subprocess.run([*command, "-Wall", "-Werror", "-Os", "-c", str(tmp_path / f"{name}.cc"), "-o", str(target)], check=True)
        told = subprocess.run([size_of, "-A", str(target)], capture_output=True, text=True, check=True).stdout
        sections = {line.split()[0]: int(line.split()[1]) for line in told.splitlines() if line.startswith(".")}
        constants = sum(count for section, count in sections.items() if section.startswith(".rodata"))
        assert size <= constants < size + 4  # The compiler aligns what follows.
        assert [sections.get(section, 0) for section in (".data", ".bss", ".text")] == [0, 0, 0]


# Writes whether the header accepts each golden output.
JUDGE = """
#include <cstdio>
#include "micro_golden.h"
#include "micro_model.h"
namespace m = NAMESPACE;
int main() {
  for (int i = 0; i < m::kGoldenVectors; ++i) std::putchar(m::Accepted(m::kGoldenOutputs[i]) ? '1' : '0');
}
"""


@pytest.mark.parametrize("columns", [2, 1], ids=["two outputs", "one"])
@pytest.mark.parametrize(
    ("kind", "logits"),
    [("probability", False), ("margin", False), ("probability", True), ("max-logit", True), ("energy", True)],
)
def test_a_program_accepts_the_answers_that_edgecnn_accepts(
    kind: ScoreName, logits: bool, columns: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    outputs = rng.integers(-128, 128, (64, columns)).astype(np.int8)
    if not logits and columns == 2:
        outputs[:, 1] = -1 - outputs[:, 0]  # They sum to 255/256.
    step = 0.05 if logits else 1 / 256
    spec = TensorSpec("out", (1, columns), "int8", Quantization((step,), (-128,)))
    probabilities = to_probabilities(outputs, spec, "logits" if logits else "probabilities")
    values = scores(kind, probabilities, top_logits(outputs, spec) if logits else None)
    least = float(np.median(values)) + 1e-4  # Between two scores, whatever rounds.
    most = float(np.quantile(values, 0.9)) + 1e-4 if kind in ("max-logit", "energy") else None
    model = micro_model()
    record = replace(model.record, step=step)
    threshold = replace(THRESHOLD, score=kind, least=least, most=most)
    inputs = np.zeros((64, 48), np.int8)
    model = replace(model, record=record, inputs=inputs, outputs=outputs, threshold=threshold, logits=logits)
    judged = printed(JUDGE, model, tmp_path)
    assert judged == "".join("01"[int(value >= least and (most is None or value <= most))] for value in values).encode()
    assert 0 < judged.count(b"1") < 64


def test_sources_without_a_threshold_accept_nothing_by_name() -> None:
    texts = sources(micro_model())
    assert "Accepted" not in texts["micro_model.h"] + texts["micro_main.cc"]
    assert "model::Accepted(outputs)" in sources(replace(micro_model(), threshold=THRESHOLD))["micro_main.cc"]


def test_names_can_not_leave_their_strings_or_comments() -> None:
    model = micro_model()
    model = replace(model, name='x; } // "', record=replace(model.record, file="int8\n#error.tflite"))
    assert model.namespace == "edgecnn_x"
    for text in sources(model).values():
        assert "// Made by edgecnn export from int8_#error.tflite: 997 bytes, SHA-256\n" in text or "int main()" in text
    assert c_text(HOSTILE) == r'"a\042b\134\012*/ // \077\077) \303\251 % \342\230\203"'
    assert replace(model, name="数字").namespace == "edgecnn_model"


def test_the_model_is_aligned_and_its_hash_is_a_constant() -> None:
    model = micro_model()
    texts = sources(model)
    assert f'kModelSha256[] = "{sha256(model.data)}";' in texts["micro_model.h"]
    assert "alignas(16) const unsigned char kModel[kModelBytes] = {" in texts["micro_model.cc"]


def test_the_operators_are_registered_in_a_resolver_of_their_number() -> None:
    text = sources(micro_model())["micro_operators.h"]
    assert "MicroMutableOpResolver<2>" in text
    assert [line.strip() for line in text.splitlines() if "resolver.Add" in line] == [
        "TF_LITE_ENSURE_STATUS(resolver.AddConv2D());",
        "TF_LITE_ENSURE_STATUS(resolver.AddSoftmax());",
    ]
