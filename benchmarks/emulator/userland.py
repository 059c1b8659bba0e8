"""An emulated Raspberry Pi: Debian's arm64 or armhf userland under qemu, in its own namespace.

Raspberry Pi OS takes its userland from Debian, so Python, the C library and the wheels are the same. The kernel,
the drivers and the clock are this machine's: times measured in it say nothing about a board.
"""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgecnn.benchmarks.emulator.debian import CannotEmulate, fetch, host_architecture, require_tools, unpack

# qemu's names for the cores of each board. The Pi 3 and 4 have no dot product instructions; the Pi 5 has.
CPUS = {"pi2": "cortex-a7", "pi3": "cortex-a53", "pi4": "cortex-a72", "pi5": "cortex-a76"}


@dataclass(frozen=True)
class System:
    """An operating system of a board.

    Attributes:
        name: Suite and architecture.
        suite: Debian's name of the release.
        architecture: Debian's name of the architecture.
        machine: Name for `uname -m` and wheels.
        python: Python version of the suite.
        glibc: Minor version of glibc 2, which decides which wheels run.
        cpus: Boards that run it, by their names in `CPUS`.
        packages: Packages from Debian, to which their dependencies are added.
        elf: Class and machine: bytes that identify its executables by their header.
    """

    name: str
    suite: str
    architecture: str
    machine: str
    python: str
    glibc: int
    cpus: tuple[str, ...]
    packages: tuple[str, ...]
    elf: tuple[str, str]


_BASE = ("python3", "libstdc++6", "dash", "coreutils")
_ARM64 = ("02", "b7")
_BOARDS = ("pi3", "pi4", "pi5")
# The package index has no 32-bit numpy and Pillow: they come from Debian.
_BASE_32 = (*_BASE, "python3-numpy", "python3-pil", "libatomic1")
SYSTEMS = {
    system.name: system
    for system in (
        System("trixie-arm64", "trixie", "arm64", "aarch64", "3.13", 41, _BOARDS, _BASE, _ARM64),
        System("bookworm-arm64", "bookworm", "arm64", "aarch64", "3.11", 36, ("pi4",), _BASE, _ARM64),
        System("bookworm-armhf", "bookworm", "armhf", "armv7l", "3.11", 36, ("pi2",), _BASE_32, ("01", "28")),
    )
}
# Folders of the board that show a folder of this machine, by their contents.
SITE, TOOLS, PROJECT, QEMU, HOME = "/opt/site", "/opt/tools", "/opt/edgecnn", "/opt/qemu", "/home/pi"

# Runs as root of a new user namespace, which has its own binfmt_misc since Linux 6.7: the kernel passes every ARM
# program to qemu, also those that a program on the board starts. F opens qemu now, outside the board; P keeps argv[0].
_ENTER = r"""
set -e
root=$1 qemu=$2 class=$3 machine=$4
shift 4
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
magic="\\x7fELF\\x$class\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\x$machine\\x00"
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":pi:M::$magic:$mask:$qemu:PF" >/proc/sys/fs/binfmt_misc/register
for system in proc sys dev; do mount --rbind "/$system" "$root/$system"; done
mount -t tmpfs tmpfs "$root/tmp"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; shift 2; done
shift
exec chroot "$root" /usr/bin/env -C "$HOME" "$@"
"""


def cache_folder() -> Path:
    """Return the download cache: $EDGECNN_PI_CACHE or ~/.cache/edgecnn-pi."""
    folder = Path(os.environ.get("EDGECNN_PI_CACHE") or Path.home() / ".cache" / "edgecnn-pi").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key_of(*parts: str | bytes) -> str:
    """Return a short name for the result of these inputs."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part if isinstance(part, bytes) else part.encode())
        hashed.update(b"\0")
    return hashed.hexdigest()[:12]


@contextmanager
def made_whole(target: Path) -> Iterator[Path | None]:
    """Yield a new folder that becomes `target` if the block succeeds, or None if `target` already exists.

    It waits for another process that makes one in the same folder.
    """
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="making-", dir=target.parent) as folder:
            made = Path(folder) / "made"
            made.mkdir()
            yield made
            made.rename(target)


def emulator() -> Path:
    """Return the folder with qemu-aarch64 and qemu-arm, which need no library of this machine.

    Raises:
        CannotEmulate: If they can't be made.
    """
    require_tools()
    target = cache_folder() / "qemu-trixie"
    with made_whole(target) as made, tempfile.TemporaryDirectory() as downloads:
        if made:
            packages = fetch(Path(downloads), host_architecture(), "trixie", ["qemu-user"], dependencies=False)
            unpack(packages, made, ["./usr/bin/qemu-aarch64", "./usr/bin/qemu-arm"])
    return target / "usr" / "bin"


def root_of(system: System) -> Path:
    """Return the root folder of a system.

    Raises:
        CannotEmulate: If it can't be made.
    """
    require_tools()
    target = cache_folder() / f"{system.name}-{key_of(Path(__file__).read_bytes())}"
    with made_whole(target) as made, tempfile.TemporaryDirectory() as downloads:
        if made:
            unpack(fetch(Path(downloads), system.architecture, system.suite, system.packages, dependencies=True), made)
            for folder in (
                "proc",
                "sys",
                "dev",
                "tmp",
                "var/tmp",
                *(path.lstrip("/") for path in (SITE, TOOLS, PROJECT, QEMU, HOME)),
            ):
                (made / folder).mkdir(parents=True, exist_ok=True)
            (made / "usr/bin/sh").unlink(missing_ok=True)
            (made / "usr/bin/sh").symlink_to("dash")
            # Not through PYTHONPATH, which a test may set.
            (made / "usr/lib/python3/dist-packages/board.pth").write_text(f"{PROJECT}\n{SITE}\n{TOOLS}\n", encoding="utf-8")
            for library in (made / "usr/lib").glob("*/*/lib*.so.3"):
                if library.parent.name in ("blas", "lapack"):  # As update-alternatives does when they are installed.
                    (library.parent.parent / library.name).symlink_to(f"{library.parent.name}/{library.name}")
    return target


@dataclass(frozen=True)
class Board:
    """A system with a CPU.

    Attributes:
        system: System that it runs.
        cpu: A name of `CPUS`.
        folders: Folders of this machine, by where the board shows them: `SITE`, `TOOLS`, `PROJECT`, `HOME`.
    """

    system: System
    cpu: str
    folders: dict[str, Path]

    @property
    def name(self) -> str:
        """Name for people."""
        return f"{self.system.name}-{self.cpu}"

    def run(self, command: Sequence[str], output: Path) -> int:
        """Run a command on the board, in the home folder, and return its exit code; its output goes to a file.

        Errors are those of `command`.
        """
        with output.open("a") as file:
            done = subprocess.run(
                self.command(command),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return done.returncode

    def command(self, command: Sequence[str]) -> list[str]:
        """Return what runs a command on the board, in the home folder, from this machine with the board's `environment`.

        Raises:
            CannotEmulate: If the kernel has no binfmt_misc for namespaces, or does not let this user create one.
        """
        root, qemu = root_of(self.system), emulator() / ("qemu-arm" if self.system.architecture == "armhf" else "qemu-aarch64")
        # The same addresses each time: with random ones OpenVINO's counts differ by 0.1 % from start to start, else by 0.01 %.
        prefix = ["setarch", "--addr-no-randomize"]
        prefix += ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", _ENTER, "sh", str(root), str(qemu)]
        prefix += self.system.elf
        shown = [part for target, folder in self.folders.items() for part in (str(folder), target)]
        if subprocess.run([*prefix, "--", "true"], env=self.environment(), capture_output=True, check=False).returncode:
            raise CannotEmulate(
                "this kernel does not allow emulation in a namespace: it takes Linux 6.7 with binfmt_misc, and in a container "
                "the right to mount (docker run --privileged)"
            )
        return [*prefix, *shown, "--", *command]

    def environment(self) -> dict[str, str]:
        """Return the board's environment, which has none of this machine's settings."""
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": HOME,
            "LC_ALL": "C.UTF-8",
            "QEMU_CPU": CPUS[self.cpu],
            "PYTHONHASHSEED": "0",  # Instruction counts must not depend on the order of sets.
            "PYTHONPYCACHEPREFIX": "/var/cache/python",  # Compiling takes longest under emulation.
        }
