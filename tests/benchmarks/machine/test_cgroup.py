"""CPU quotas, read from trees like those of kernels and container engines."""

from pathlib import Path

import pytest

from edgecnn.benchmarks.machine.host import throttled_seconds

V2 = "usage_usec 900\nuser_usec 500\nnr_periods 40\nnr_throttled {n}\nthrottled_usec {time}\nnr_bursts 0\n"
V1 = "nr_periods 40\nnr_throttled {n}\nthrottled_time {time}\n"


def tree(root: Path, group: str, files: dict[str, str]) -> Path:
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
    assert throttled_seconds(tree(tmp_path, group, files)) == pytest.approx(seconds)


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
    assert throttled_seconds(tree(tmp_path, group, files)) is None


def test_a_machine_without_control_groups_gives_none(tmp_path: Path) -> None:
    assert throttled_seconds(tmp_path) is None
