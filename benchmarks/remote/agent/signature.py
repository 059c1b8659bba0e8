"""Who signed a bundle: asked of OpenSSH's own `ssh-keygen`, by a file of allowed signers.

A device asks it too, as part of the agent: it uses only the standard library and Python 3.7.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

NAMESPACE = "edgecnn"
"""What a signature is for. One that the same key made for git, a login or a mail is refused."""
ALLOWED_SIGNERS = (".config/edgecnn/allowed_signers", ".local/share/edgecnn/allowed_signers")
"""Where a device's list may be, below the home folder; the first that exists counts."""

_UNKNOWN = ("unknown option", "illegal option", "Unsupported operation for -Y")
_MOST_BYTES = 65_536


class BadSignature(Exception):
    """A bundle is not signed as the list of allowed signers demands; the message is one line."""


def signer(bundle: Path, signature: Path | None, home: Path) -> str | None:
    """Return who signed a bundle, as this device's list names them; None if the device has no list.

    Args:
        bundle: The bundle as it was received.
        signature: The signature that came with it, or None.
        home: The user's home folder.

    Raises:
        BadSignature: If there is a list, and the signature is not by one of its keys, for this file, for edgecnn and now.
        OSError: If a file can't be read.
    """
    allowed = _allowed_signers(home)
    return None if allowed is None else signed_by(bundle, signature, allowed)


def signed_by(bundle: Path, signature: Path | None, allowed: Path) -> str:
    """Return who signed a bundle, as a list of allowed signers names them.

    Raises:
        BadSignature: If the signature is not by one of its keys, for this file, for edgecnn and now.
        OSError: If a file can't be read.
    """
    if signature is None or not signature.is_file():
        raise BadSignature(f"{bundle.name} is not signed, as {allowed} demands: make it with edgecnn bundle --sign KEY")
    if signature.stat().st_size > _MOST_BYTES:  # ssh-keygen would read all of it.
        raise BadSignature(f"{signature.name} is no signature: make it with edgecnn bundle --sign KEY")
    with allowed.open("rb"):  # ssh-keygen would say of a list that can't be read that the key is not in it.
        pass
    given = ("-s", str(signature), "-f", str(allowed))
    found = ssh_keygen("find-principals", *given)
    problem = _reason(found.stderr, allowed)
    for name in found.stdout.decode("utf-8", "replace").splitlines():
        with bundle.open("rb") as stream:
            checked = ssh_keygen("verify", *given, "-n", NAMESPACE, "-I", name, stdin=stream)
        if checked.returncode == 0:
            return name
        problem = _reason(checked.stderr, allowed)
    raise BadSignature(f"{bundle.name} is not signed as {allowed} demands ({problem}): sign it with a key that is listed there")


def ssh_keygen(action: str, *arguments: str, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y`, and return how it ended.

    Raises:
        BadSignature: If it is not installed, or too old.
    """
    try:
        done = subprocess.run(
            ["ssh-keygen", "-Y", action, *arguments],  # noqa: S607  # The PATH's own, wherever OpenSSH is.
            capture_output=True,
            check=False,
            **how,
        )
    except FileNotFoundError:
        raise BadSignature("ssh-keygen is not installed: sudo apt install openssh-client") from None
    if done.returncode and any(text in done.stderr.decode("utf-8", "replace") for text in _UNKNOWN):
        raise BadSignature("ssh-keygen is too old for signatures of files: install OpenSSH 8.2 or later")
    return done


def _allowed_signers(home: Path) -> Path | None:
    """Return the list that counts here. One that is there but can't be read counts too, and then fails."""
    for path in (home / name for name in ALLOWED_SIGNERS):
        try:
            os.lstat(str(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        return path
    return None


def _reason(printed: bytes, allowed: Path) -> str:
    """Return the last thing that ssh-keygen says of a signature, or of a line of the list."""
    lines = [line.strip() for line in printed.decode("utf-8", "replace").splitlines()]
    said = [line for line in lines if line and line != "No principal matched."]
    return said[-1].replace(f"{allowed}:", "line ") if said else "its key is not listed"
