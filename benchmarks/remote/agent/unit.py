"""The text of the systemd unit that runs `edgecnn serve` on a device."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from edgecnn.benchmarks.remote.agent.conversation import Failed

_STEPS_SINCE = 254  # Version of systemd.
_PLAIN = re.compile(r"[\w./:,=@+-]+", re.ASCII)
_MEMORY = [
    "# The server and the processes that decode pictures. Of these, one that needs too much ends alone.",
    "# Not MemoryHigh: without swap, whoever reaches it is slowed down until it seems to hang.",
    "MemoryMax=512M",
    "OOMPolicy=continue",
    "TasksMax=256",
]


class Service(NamedTuple):
    """What a unit runs, and as whom.

    Attributes:
        program: Path of edgecnn.
        model: Path of the bundle or folder that it serves.
        state: Path of its folder, the only one that it writes to, except for temporary files.
        arguments: Further arguments of `edgecnn serve`.
        user: User of a system unit, empty for one that exists only while it runs; None for a unit of the caller's own manager.
        home: Home folder of the user, or None.
        writes_code: Whether its runtime can't do without memory that is both writable and executable.
        isolated: Whether the service gets its own view of files and devices, which a user's own manager can't give everywhere.
    """

    program: str
    model: str
    state: str
    arguments: tuple[str, ...] = ()
    user: str | None = None
    home: str | None = None
    writes_code: bool = False
    isolated: bool = True


def unit_text(service: Service, version: int) -> str:
    """Return the text of the unit for a version of systemd.

    Raises:
        Failed: If a path or an argument has a control character.
    """
    own = service.user is None
    blocks = [["[Unit]", "Description=edgecnn serve"]]
    if not own:
        blocks[0] += [f"RequiresMountsFor={_word(service.model)} {_word(service.state)}", "After=network.target"]
    blocks[0] += ["# After so many starts in half an hour it stays failed, which systemctl --failed shows."]
    blocks[0] += ["StartLimitIntervalSec=1800", "StartLimitBurst=8"]
    blocks += [_running(service), _restarting(version), _MEMORY, _user(service), _calls(service)]
    if service.isolated:
        blocks.append(view(service))
    blocks.append(["[Install]", f"WantedBy={'default' if own else 'multi-user'}.target"])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _running(service: Service) -> list[str]:
    arguments = ["serve", service.model, "--state", service.state, *service.arguments]
    if set(service.program) & set("\"'\\"):
        raise Failed(f"{service.program} has a quotation mark or a backslash, with which systemd starts no program: rename it")
    command = " ".join([_word(service.program), *(_word(argument).replace("$", "$$") for argument in arguments)])
    return [
        "[Service]",
        "# It is started when it answers. A file that is new on the board is tried first, which may take a while.",
        "Type=notify",
        "TimeoutStartSec=300",
        "# It is started again if it seems to hang for this long: longer than a start, and than a slow inference.",
        "WatchdogSec=60",
        "# A token of its own instead of a new one at each start: EDGECNN_TOKEN=... in this file.",
        f"EnvironmentFile=-{_percent(_environment_file(service))}",
        "# What it tried before it served it, so that it does not try it again.",
        f"Environment={_word(f'XDG_CACHE_HOME={service.state}/cache')}",
        f"ExecStart={command}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "KillMode=mixed",
        "TimeoutStopSec=20",
        "LimitCORE=0",
    ]


def _restarting(version: int) -> list[str]:
    pauses = ["RestartSec=1", "RestartSteps=5", "RestartMaxDelaySec=60"] if version >= _STEPS_SINCE else ["RestartSec=10"]
    return ["# Later each time, up to StartLimitBurst.", "Restart=on-failure", *pauses]


def _user(service: Service) -> list[str]:
    if service.user is None:
        return ["UMask=0077"]
    who = [f"User={_percent(service.user)}"]
    if not service.user:
        who = ["DynamicUser=yes", f"StateDirectory={_word(Path(service.state).name)}", "StateDirectoryMode=0700"]
    return [*who, "UMask=0077"]


def _calls(service: Service) -> list[str]:
    """Return what the kernel refuses the service: no calls but these, and no new rights."""
    return [
        "# No calls of the kernel but these, and no new rights.",
        "NoNewPrivileges=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "SystemCallErrorNumber=EPERM",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        *([] if service.writes_code else ["MemoryDenyWriteExecute=yes"]),
        "KeyringMode=private",
    ]


def view(service: Service) -> list[str]:
    """Return what the service sees: files to read, except keys, its own folder and /tmp to write, and hardly a device."""
    lines = [
        "CapabilityBoundingSet=",
        "PrivateUsers=yes",
        "ProtectSystem=strict",
        f"ProtectHome={'read-only' if service.home else 'yes'}",
        *([f"ReadWritePaths={_word(service.state)}"] if service.user != "" else []),
    ]
    if service.home:
        lines.append("InaccessiblePaths=" + " ".join("-" + _word(f"{service.home}/{name}") for name in (".ssh", ".gnupg")))
    # ProtectClock would close all devices but clocks. Not ProcSubset=pid: the runtimes read /proc/cpuinfo to choose their code.
    lines += [
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "PrivateTmp=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
    ]
    return [*lines, "ProtectKernelModules=yes", "ProtectKernelTunables=yes", "ProtectProc=invisible", "RemoveIPC=yes"]


def _environment_file(service: Service) -> str:
    path = f"/etc/{Path(service.state).name}.env" if service.user == "" else f"{service.state}.env"
    return re.sub(r"([\\*?\[])", r"\\\1", path)  # systemd takes it for a pattern.


def _word(text: str) -> str:
    """Return one word of a unit's line."""
    text = _percent(text)
    if _PLAIN.fullmatch(text.replace("%%", "")):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _percent(text: str) -> str:
    """Return text whose percent signs stand for themselves."""
    if any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise Failed(f"{text!r} has a control character, which no unit can hold: rename it")
    return text.replace("%", "%%")
