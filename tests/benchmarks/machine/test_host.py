"""Reading the machine, its state and a container's quota, from file trees in the formats of real boards and kernels.

`boards/*.txt` are put together from published captures: /proc/cpuinfo from github.com/hrw/arm-socs-table (issues 29 and
96) and github.com/fastfetch-cli/fastfetch (issue 1529), thermal zones from github.com/raspberrypi/linux (issue 5921, and
arch/arm/boot/dts), get_throttled from its drivers/firmware/raspberrypi.c.
"""

import dataclasses
from pathlib import Path

import pytest

from edgecnn.benchmarks.machine.host import read_cpu_times, read_machine, read_state, throttled_seconds
from tests.benchmarks.machine.boards import BOARDS, no_tool, tree

GARBAGE = (b"", b"\n", b"N/A\n", b"-274000\n", b"\xff\xfe\0")


def test_an_empty_root_gives_none_for_all_that_files_say(tmp_path: Path) -> None:
    state = dataclasses.asdict(read_state(tmp_path))
    assert state.pop("time")
    assert state.pop("governors") == ()
    assert set(state.values()) == {None}
    machine = read_machine(tmp_path)
    assert (machine.board, machine.cpu, machine.memory_bytes) == (None, None, None)
    assert read_cpu_times(tmp_path) is None


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("board", [path.stem for path in sorted(BOARDS.glob("*.txt"))])
def test_garbage_in_every_file_gives_no_number_and_no_error(board: str, garbage: bytes, tmp_path: Path) -> None:
    for path in tree(tmp_path, board).rglob("*"):
        if path.is_file():
            path.write_bytes(garbage)
    state = read_state(tmp_path, no_tool)
    assert (state.temperature_celsius, state.temperature_limit_celsius, state.throttled) == (None, None, None)
    assert state.on_battery is None
    assert read_cpu_times(tmp_path) is None
    machine = read_machine(tmp_path)
    assert (machine.cpu, machine.memory_bytes) == (None, None)


def test_files_that_cannot_be_read_give_none(tmp_path: Path) -> None:
    for path in [path for path in tree(tmp_path, "raspberry-pi-4").rglob("*") if path.is_file()]:
        path.unlink()
        path.mkdir()  # Even root, whom no mode keeps out, can't read a directory as a file.
    assert read_state(tmp_path, no_tool).temperature_celsius is None
    assert read_state(tmp_path, no_tool).governors == ()
    assert read_machine(tmp_path).cpu is None


def test_bytes_that_are_no_text_do_not_stop_the_benchmark(tmp_path: Path) -> None:
    tree(tmp_path, "raspberry-pi-4")
    (tmp_path / "proc/device-tree/model").write_bytes(b"Board \xff\0")
    assert read_machine(tmp_path).board == "Board \ufffd"


@pytest.mark.parametrize(
    ("board", "model", "cpu", "kib"),
    [
        ("raspberry-pi-3b-plus", "Raspberry Pi 3 Model B Plus Rev 1.3", "Cortex-A53", 949444),
        ("raspberry-pi-4", "Raspberry Pi 4 Model B Rev 1.5", "Cortex-A72", 7998728),
        ("raspberry-pi-5", "Raspberry Pi 5 Model B Rev 1.0", "Cortex-A76", 8256096),
        ("container-on-a-pi", "Raspberry Pi 4 Model B Rev 1.5", "Cortex-A72", 7998728),
        ("laptop-on-battery", None, "Intel(R) Core(TM) i5-8250U CPU @ 1.60GHz", 16266104),
        ("workstation", None, "AMD Ryzen 9 5900X 12-Core Processor", 65766844),
    ],
)
def test_a_board_says_what_it_is(board: str, model: str | None, cpu: str, kib: int, tmp_path: Path) -> None:
    machine = read_machine(tree(tmp_path, board))
    assert (machine.board, machine.cpu, machine.memory_bytes, machine.cores) == (model, cpu, kib * 1024, 4)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ([("0x41", "0xdff")], "implementer 0x41 part 0xdff"),
        ([("0x51", "0xd03")], "implementer 0x51 part 0xd03"),
        ([("0x41", "0xd05"), ("0x41", "0xd05"), ("0x41", "0xD0B")], "Cortex-A55 + Cortex-A76"),
    ],
)
def test_an_arm_cpu_is_named_by_its_cores(parts: list[tuple[str, str]], name: str, tmp_path: Path) -> None:
    told = "".join(f"CPU implementer\t: {maker}\nCPU part\t: {part}\n\n" for maker, part in parts)
    assert read_machine(tree(tmp_path, "raspberry-pi-4", {"proc/cpuinfo": told})).cpu == name


def test_a_core_that_we_do_not_know_keeps_the_kernels_name(tmp_path: Path) -> None:
    told = "model name\t: ARMv7 Processor rev 1 (v7l)\nCPU implementer\t: 0x41\nCPU part\t: 0xdff\n"
    assert read_machine(tree(tmp_path, "raspberry-pi-4", {"proc/cpuinfo": told})).cpu == "ARMv7 Processor rev 1 (v7l)"


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["fpu sse4_2"], "AMD EPYC"),
        (["avx avx2"], "AMD EPYC (AVX2)"),
        (["avx avx2 avx_vnni"], "AMD EPYC (AVX2, VNNI)"),
        (["avx avx2 avx512f avx512_vnni"], "AMD EPYC (AVX-512, VNNI)"),
        (["avx avx2 avx512f avx512_vnni avx_vnni amx_int8"], "AMD EPYC (AVX-512, VNNI, AMX)"),
        (["avx avx2 avx512f", "avx avx2"], "AMD EPYC (AVX2)"),
    ],
)
def test_virtual_machines_of_one_name_differ_by_their_vector_instructions(flags: list[str], name: str, tmp_path: Path) -> None:
    told = "".join(f"model name\t: AMD EPYC\nflags\t\t: {of_core}\n\n" for of_core in flags)
    assert read_machine(tree(tmp_path, "workstation", {"proc/cpuinfo": told})).cpu == name


V2 = "usage_usec 900\nuser_usec 500\nnr_periods 40\nnr_throttled {n}\nthrottled_usec {time}\nnr_bursts 0\n"
V1 = "nr_periods 40\nnr_throttled {n}\nthrottled_time {time}\n"


def groups(root: Path, group: str, files: dict[str, str]) -> Path:
    for name, content in {"proc/self/cgroup": group, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("group", "files", "seconds"),
    [
        ("0::/\n", {"sys/fs/cgroup/cpu.stat": V2.format(n=3, time=1_500_000)}, 1.5),
        (
            "0::/user.slice/app.service\n",
            {
                "sys/fs/cgroup/cpu.stat": "usage_usec 1\n",
                "sys/fs/cgroup/user.slice/cpu.stat": V2.format(n=1, time=250_000),
                "sys/fs/cgroup/user.slice/app.service/cpu.stat": V2.format(n=2, time=500_000),
                "sys/fs/cgroup/other.slice/cpu.stat": V2.format(n=9, time=9_000_000),
            },
            0.75,
        ),
        ("0::/../../pod\n", {"sys/fs/cgroup/cpu.stat": V2.format(n=3, time=2_000_000)}, 2.0),
        (
            "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n0::/\n",
            {"sys/fs/cgroup/cpu,cpuacct/cpu.stat": V1.format(n=3, time=2_500_000_000)},
            2.5,
        ),
        (
            "2:cpuacct:/\n1:cpu:/box\n0::/\n",
            {
                "sys/fs/cgroup/cpu/cpu.stat": V1.format(n=0, time=0),
                "sys/fs/cgroup/cpu/box/cpu.stat": V1.format(n=7, time=70_000_000),
                "sys/fs/cgroup/cpuacct/cpu.stat": V1.format(n=7, time=9_000_000_000),
            },
            0.07,
        ),
        ("1:cpu:/\n0::/a\n", {"sys/fs/cgroup/unified/cpu.stat": V2.format(n=1, time=1_000_000)}, 1.0),
    ],
    ids=["container", "service", "outside its name space", "docker, version 1", "version 1 by controller", "both versions"],
)
def test_the_time_of_every_quota_above_a_process_counts(
    group: str, files: dict[str, str], seconds: float, tmp_path: Path
) -> None:
    assert throttled_seconds(groups(tmp_path, group, files)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("group", "files"),
    [
        ("0::/\n", {}),
        ("0::/\n", {"sys/fs/cgroup/cpu.stat": "usage_usec 900\nuser_usec 500\n"}),
        ("0::/\n", {"sys/fs/cgroup/cpu.stat": "throttled_usec many\nthrottled_time\n"}),
        ("nonsense\n", {"sys/fs/cgroup/cpu.stat": V2.format(n=1, time=1)}),
        ("2:memory:/\n", {"sys/fs/cgroup/cpu.stat": V1.format(n=1, time=1)}),
    ],
)
def test_a_machine_that_tells_of_no_quota_gives_none(group: str, files: dict[str, str], tmp_path: Path) -> None:
    assert throttled_seconds(groups(tmp_path, group, files)) is None


def test_a_machine_without_control_groups_gives_none(tmp_path: Path) -> None:
    assert throttled_seconds(tmp_path) is None
