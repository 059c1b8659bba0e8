"""What a user may name to tune on, and the messages for everything else."""

from pathlib import Path

import pytest

from edgecnn.benchmarks.doctor.examine import Examination
from edgecnn.benchmarks.emulator.debian import CannotEmulate
from edgecnn.benchmarks.machine.host import machine_text, read_machine
from edgecnn.benchmarks.runners import choose, emulated
from edgecnn.benchmarks.runners.choose import runner_of
from edgecnn.benchmarks.runners.emulated import Emulated
from edgecnn.benchmarks.runners.timed import Here, OverSsh
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import ConfigError, EdgeCnnError, MissingDependency
from edgecnn.edge.result import SILENT
from edgecnn.edge.runtimes import installed


def test_each_kind_of_machine_has_its_runner(test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "measuring_on", lambda host, mend: Examination((), ("onnxruntime",)))
    monkeypatch.setattr(Emulated, "prepare", lambda self: None)
    for where, kind in (("here", Here), ("pi@pi4.local", OverSsh), ("cortex-a72", Emulated)):
        found = runner_of(where, 60, test_split, SILENT, ("onnx",), "onnxruntime")
        assert isinstance(found, kind)
        assert (found.seconds, found.runtime) == (60, "onnxruntime")


def test_a_runtime_that_this_machine_lacks_is_refused_before_anything_is_converted(
    test_split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "CPUINFO", tmp_path / "none")
    with pytest.raises(MissingDependency, match=r"litert-fp16 needs.*asimdhp"):
        runner_of("here", 60, test_split, SILENT, ("tflite",), "litert-fp16")


@pytest.mark.parametrize(
    ("where", "seconds", "part"),
    [
        ("cortex-m4", 60, "cortex-m4 can't be emulated: use cortex-a53, cortex-a72, cortex-a76"),
        (__file__, 60, "names no machine"),
        ("", 60, "names no machine"),
        ("-oProxyCommand=x", 60, "-oProxyCommand=x"),
        ("here", 0, "1 s to 24 hours, got 0 s"),
    ],
)
def test_what_names_no_machine_is_refused(where: str, seconds: float, part: str, test_split: Split) -> None:
    with pytest.raises(ConfigError) as caught:
        runner_of(where, seconds, test_split, SILENT, ("tflite",))
    assert part in str(caught.value)


def test_a_runtime_that_no_emulated_core_has_is_refused_before_anything_is_fetched(test_split: Split) -> None:
    with pytest.raises(ConfigError, match=r"tune_runtime=openvino.*not installed on emulated"):
        runner_of("cortex-a53", 60, test_split, SILENT, ("tflite", "onnx"), "openvino")


@pytest.mark.parametrize(
    ("formats", "runtime", "part", "installs"),
    [
        (("onnx", "tflite"), None, "has no runtime for TFLite files", " --install, .*formats=tflite"),
        (("tflite",), "litert-fp16", "has no litert-fp16", " --install --runtime litert-fp16, .*formats=tflite"),
        (("onnx", "ncnn"), None, "has no runtime for ncnn files", " --install, .*formats=ncnn"),
    ],
)
def test_a_board_without_the_runtime_is_refused_before_anything_is_converted(
    formats: tuple[str, ...],
    runtime: str | None,
    part: str,
    installs: str,
    test_split: Split,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choose, "measuring_on", lambda host, mend: Examination((), ("onnxruntime", "openvino"), read_machine()))
    board = runner_of("pi4.local", 60, test_split, SILENT, ("onnx",))
    assert isinstance(board, OverSsh)
    # By these words a file that was tuned there is known when a search is continued.
    assert board.machine == machine_text(read_machine())
    with pytest.raises(EdgeCnnError, match=f"pi4.local {part}: type edgecnn bench FOLDER --device pi4.local{installs}"):
        runner_of("pi4.local", 60, test_split, SILENT, formats, runtime)


def test_a_runtime_that_does_not_suit_a_boards_cpu_is_not_to_be_installed(
    test_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "measuring_on", lambda host, mend: Examination((), ("litert",)))
    with pytest.raises(ConfigError, match=r"litert-fp16 needs a CPU with asimdhp, and that of pi4\.local has none: omit"):
        runner_of("pi4.local", 60, test_split, SILENT, ("tflite",), "litert-fp16")


@pytest.mark.workstation("needs an ssh client")
def test_a_host_that_is_not_there_is_one_line_before_anything_is_converted(test_split: Split) -> None:
    with pytest.raises(EdgeCnnError, match=r"nobody\.invalid: its name is unknown"):
        runner_of("nobody.invalid", 60, test_split, SILENT, ("tflite",))


def test_a_machine_that_can_not_emulate_says_what_is_missing(test_split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise CannotEmulate("dpkg not found: run it on Debian 13 or in a container of it")

    monkeypatch.setattr(emulated, "emulator", missing)
    with pytest.raises(CannotEmulate, match="dpkg") as caught:
        runner_of("cortex-a53", 60, test_split, SILENT, ("tflite",))
    assert caught.value.exit_code == 6
