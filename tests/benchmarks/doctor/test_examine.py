"""The doctor's findings about a machine."""

import platform
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecnn.benchmarks.doctor import examine as doctor
from edgecnn.benchmarks.doctor.examine import examine
from edgecnn.benchmarks.doctor.findings import Finding
from edgecnn.benchmarks.doctor.known_problems import OK, PROBLEM, WARNING
from edgecnn.edge.packages import install_command
from tests.benchmarks.doctor.examined import Fake, finding, findings
from tests.benchmarks.machine.boards import no_tool, tree


@pytest.mark.parametrize(
    ("name", "machine", "bits", "cpu", "governor", "temperature", "throttling"),
    [
        (
            "raspberry-pi-3b-plus",
            "armv7l",
            32,
            "Cortex-A53, 2 cores; dot product no; fp16 no",
            "ondemand",
            (WARNING, "62 °C, slows down at 60"),
            WARNING,
        ),
        (
            "raspberry-pi-4",
            "aarch64",
            64,
            "Cortex-A72, 2 cores; dot product no; fp16 no",
            "ondemand",
            (OK, "48 °C, slows down at 80"),
            PROBLEM,
        ),
        (
            "raspberry-pi-5",
            "aarch64",
            64,
            "Cortex-A76, 2 cores; dot product yes (asimddp); fp16 yes (asimdhp)",
            None,
            (OK, "47 °C, slows down at 80"),
            OK,
        ),
    ],
)
def test_a_board_is_told_with_what_is_wrong_with_it(
    name: str,
    machine: str,
    bits: int,
    cpu: str,
    governor: str | None,
    temperature: tuple[str, str],
    throttling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    only: Callable[..., None],
) -> None:
    only()
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(doctor, "python_bits", lambda: bits)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    told = examine(root=tree(tmp_path, name), run=no_tool)
    assert finding(told, "board").text.startswith("Raspberry Pi ")
    assert f"{machine}, {bits}-bit Python" in finding(told, "system").text  # Python 3.13 adds text.
    assert finding(told, "cpu") == Finding("cpu", OK, cpu)
    if governor:
        assert finding(told, "governor").status == WARNING
        assert finding(told, "governor").text.startswith(f"{governor}; ")
        assert "sudo tee" in (finding(told, "governor").fix or "")
    assert (finding(told, "temperature").status, finding(told, "temperature").text) == temperature
    assert findings(told, "throttling")[0].status == throttling


@pytest.mark.parametrize(
    ("bits", "told", "status"),
    [
        ("0x0", "nothing now or since boot", OK),
        ("0x50000", "throttled since boot, under-voltage since boot; the supply was too weak", WARNING),
        ("0x50001", "throttled since boot, under-voltage; the supply is too weak now", PROBLEM),
    ],
)
def test_throttling_now_is_worse_than_before(
    bits: str, told: str, status: str, tmp_path: Path, only: Callable[..., None]
) -> None:
    only()
    diagnosis = examine(root=tree(tmp_path, "raspberry-pi-5"), run=lambda _: f"throttled={bits}")
    first = findings(diagnosis, "throttling")[0]
    assert (first.text, first.status) == (told, status)


def test_this_pythons_word_size_is_told(only: Callable[..., None]) -> None:
    only()
    assert finding(examine(), "system").text.endswith(f"{8 * struct.calcsize('P')}-bit Python")


@pytest.mark.parametrize(("name", "fp16"), [("raspberry-pi-4", False), ("raspberry-pi-5", True)])
def test_the_runtimes_that_are_installed_and_suit_the_cpu_are_named(
    name: str, fp16: bool, tmp_path: Path, only: Callable[..., None]
) -> None:
    root = tree(tmp_path, name)
    only()
    assert examine(root=root, run=no_tool).runtimes == ()
    only("ai_edge_litert", "onnxruntime")
    assert examine(root=root, run=no_tool).runtimes == ("litert", *(["litert-fp16"] if fp16 else []), "onnxruntime")


def test_a_runtime_that_can_not_be_imported_is_not_named(fake: Fake) -> None:
    fake("ai-edge-litert", "2.3.0", "raise ImportError('numpy is too new')")
    assert examine(root=Path("/nowhere"), run=no_tool).runtimes == ()


def test_where_nothing_runs_tflite_files_no_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]
) -> None:
    only()
    monkeypatch.setattr(platform, "machine", lambda: "armv7l")
    monkeypatch.setattr(doctor, "python_bits", lambda: 32)
    monkeypatch.setattr(platform, "python_version", lambda: "3.13.5")
    told = examine(root=tmp_path, run=no_tool)
    assert finding(told, "ai-edge-litert").fix is None
    assert finding(told, "system").status == PROBLEM
    assert "64-bit" in (finding(told, "system").fix or "")


def test_32_bits_under_a_64_bit_kernel_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]
) -> None:
    only()
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(doctor, "python_bits", lambda: 32)
    monkeypatch.setattr(platform, "python_version", lambda: "3.11.2")
    told = examine(root=tree(tmp_path, "raspberry-pi-4"), run=no_tool)
    assert finding(told, "system").status == WARNING
    assert all(said in finding(told, "system").text for said in ("aarch64, 32-bit Python; 32-bit", "under a 64-bit kernel"))
    assert findings(told, "ai-edge-litert")[0].fix == install_command("tflite-runtime")
    assert findings(told, "onnxruntime")[0].fix is None
    assert "edgecnn export" in (findings(told, "onnxruntime")[1].fix or "")


def test_a_machine_that_tells_nothing_is_well(tmp_path: Path, only: Callable[..., None]) -> None:
    only("ai_edge_litert")
    told = examine(root=tmp_path, run=no_tool)
    assert [found for found in told.findings if found.status != OK] == []
    assert finding(told, "cpu").text.split("; ")[-2:] == ["dot product not reported", "fp16 not reported"]
    for name in ("governor", "temperature", "throttling", "memory"):
        assert finding(told, name).text == "not reported"


@pytest.mark.parametrize(("free", "status"), [("102399 kB", WARNING), ("102400 kB", OK), ("nonsense", OK)])
def test_little_memory_is_a_warning(free: str, status: str, tmp_path: Path, only: Callable[..., None]) -> None:
    only()
    told = examine(root=tree(tmp_path, "raspberry-pi-5", {"proc/meminfo": f"MemTotal: 8256096 kB\nMemAvailable: {free}\n"}))
    assert finding(told, "memory").status == status
    assert finding(told, "memory").text.startswith("8,063 MiB")


def test_an_instruction_counts_only_if_every_core_has_it(tmp_path: Path, only: Callable[..., None]) -> None:
    only()
    cores = {"proc/cpuinfo": "Features : fp asimddp asimdhp\n\nFeatures : fp asimdhp\n"}
    assert "dot product no; fp16 yes" in finding(examine(root=tree(tmp_path, "raspberry-pi-5", cores)), "cpu").text


def test_another_c_library_is_a_warning(monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]) -> None:
    only()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert finding(examine(), "glibc").status == WARNING
