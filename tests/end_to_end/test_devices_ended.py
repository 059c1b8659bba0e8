"""`edgecnn bench --device` interrupted, killed or cut off: nothing is left running, and no partial file or lock."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecnn.benchmarks.remote import ssh
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.remote import bench_devices


def sleeper_of(network: Any, device: Any) -> int:
    """Wait until a run hangs on a device, and return the process there for which it waits."""
    noted = device.home / "sleeper"
    network.until(lambda: noted.exists() and noted.read_text().strip())
    return int(noted.read_text())


def interrupted(network: Any, bundle: Path, how: int) -> tuple[subprocess.Popen[str], Any, int]:
    """Start a run in its own process, and send the signal once it hangs on the device. Return these and what sleeps there."""
    device = network.add("pi")
    (device.home / "slow").touch()
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgecnn.benchmarks.remote.remote import Job, bench_devices\n"
        f"job = Job(Path({str(bundle)!r}), (), {running_version()!r}, 'x', lambda report: report)\n"
        "bench_devices(['pi'], job, 'x', print)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    network.started.append(process)
    sleeper = sleeper_of(network, device)
    process.send_signal(how)
    return process, device, sleeper


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_runs_on_the_device_ends_with_us_and_leaves_nothing(network: Any, bundle: Path, how: int) -> None:
    process, device, sleeper = interrupted(network, bundle, how)
    printed, said = process.communicate(timeout=300)
    assert process.returncode == -how, said
    assert printed.splitlines()[2:] == []  # A requested end gives no false reason.
    network.until(lambda: not alive(sleeper))
    network.until(lambda: not (device.cache / "run").exists())
    assert device.files() == ["bundle.zip"]
    (device.home / "slow").unlink()
    assert network.run(bundle, "pi")[0].error is None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_killed_on_the_device_it_leaves_no_orphan_and_the_next_run_clears_up(network: Any, bundle: Path, how: int) -> None:
    process, device, sleeper = interrupted(network, bundle, signal.SIGCONT)
    program, agent = family(sleeper)
    os.kill(agent, how)
    said, _ = process.communicate(timeout=300)
    assert ("the process there was killed" if how == signal.SIGKILL else "pi: it ended with code") in said
    network.until(lambda: not alive(program))
    if how == signal.SIGKILL:  # edgecnn's own children end with their pipes; the stand-in's has none.
        os.kill(sleeper, signal.SIGKILL)
    network.until(lambda: not alive(sleeper))
    (device.home / "slow").unlink()
    assert network.run(bundle, "pi")[0].error is None
    assert device.files() == ["bundle.zip"]
    assert not (device.cache / "run").exists()


def test_a_device_that_falls_silent_in_mid_run_is_given_up(network: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_OPTIONS", ("-oServerAliveInterval=1", "-oServerAliveCountMax=1", *ssh._OPTIONS))
    device = network.add("pi")
    (device.home / "slow").touch()
    stopped = []

    def say(line: str) -> None:
        if line == "pi: launch 1 of 1":
            _, agent = family(sleeper_of(network, device))
            server, _ = family(agent)
            os.kill(server, signal.SIGSTOP)
            stopped.append(server)

    try:
        (done,) = bench_devices(["pi"], network.job(bundle), "edgecnn bench", say).devices
    finally:
        os.kill(stopped[0], signal.SIGCONT)
    assert str(done.error).startswith("it does not answer")
    # Once the network is back, the process there notices that it is alone.
    network.until(lambda: not alive(sleeper_of(network, device)))
    network.until(lambda: not (device.cache / "run").exists())


def family(pid: int) -> tuple[int, int]:
    """Return a process's parent and grandparent."""
    parents = []
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        parents.append(pid)
    return parents[0], parents[1]


def test_a_connection_that_ends_while_a_bundle_is_sent_leaves_no_half_file(network: Any, tmp_path: Path) -> None:
    device = network.add("pi")
    endless = tmp_path / "endless.zip"
    os.mkfifo(endless)  # It is sent as far as possible; the announced rest never comes.
    request = network.job(endless)
    code = (
        "import sys, os\nfrom pathlib import Path\nfrom edgecnn.benchmarks.remote import remote\n"
        "remote.sent_file = lambda path, name: {'name': name, 'size': 10**9, 'sha256': 'a' * 64}\n"
        f"job = remote.Job(Path({str(request.bundle)!r}), (), {running_version()!r}, 'x', lambda report: report)\n"
        "remote.bench_devices(['pi'], job, 'x', print)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with endless.open("wb") as writer:
        writer.write(b"x" * 4_000_000)
        writer.flush()
        network.until(lambda: (device.cache / "run/part").exists() and (device.cache / "run/part").stat().st_size > 1_000_000)
        process.kill()
        process.wait()
    network.until(lambda: not (device.cache / "run").exists())
    assert device.files() == []


def test_two_runs_on_one_device_wait_for_each_other(network: Any, bundle: Path) -> None:
    process, device, _ = interrupted(network, bundle, signal.SIGCONT)
    text = network.config.read_text()
    network.config.write_text(text + text.replace("Host pi\n", "Host alias\n"))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "waiting for its end" in line:
            (device.home / "slow").unlink()
            process.kill()

    (done,) = bench_devices(["alias"], network.job(bundle), "edgecnn bench", say).devices
    process.communicate(timeout=300)
    assert any(line.startswith("alias: another edgecnn is at work") for line in said)
    assert done.error is None


def alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
