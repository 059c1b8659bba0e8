"""Signs a bundle, and says who signed one, by OpenSSH's own `ssh-keygen`. The signature is a file next to the bundle."""

import shutil
from pathlib import Path

from edgecnn.benchmarks.remote.agent.signature import NAMESPACE, BadSignature, signed_by, ssh_keygen
from edgecnn.edge.errors import ArtifactError, ConfigError, MissingDependency, because
from edgecnn.edge.files import temporary_folder, write_bytes
from edgecnn.edge.text import last_line, shortened


def signature_path(bundle: Path) -> Path:
    """Return where the signature of a bundle is: `mnist.zip.sig`, as ssh-keygen names it."""
    return bundle.with_name(f"{bundle.name}.sig")


def require_key(key: Path) -> None:
    """Raise before the work if nothing can be signed with a key.

    Raises:
        ConfigError: If there is no such file.
        MissingDependency: If ssh-keygen is not installed.
    """
    _require_ssh_keygen()
    if not key.is_file():
        raise ConfigError(f"{key} is not a key: name a file that ssh-keygen -t ed25519 made")


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle, replace its signature, and return the signature's path. The bundle's bytes stay as they are.

    ssh-keygen asks for a passphrase on the terminal, and asks ssh-agent if `key` is a public key.

    Raises:
        ConfigError: If the key can't sign, or the signature can't be written.
        MissingDependency: If ssh-keygen is not installed, or is too old.
    """
    require_key(key)
    # ssh-keygen writes next to what it signs, and asks before it replaces a file.
    with temporary_folder() as folder:
        link = folder / bundle.name
        link.symlink_to(bundle.resolve())
        try:
            done = ssh_keygen("sign", "-n", NAMESPACE, "-f", str(key), str(link))
        except BadSignature as error:
            raise MissingDependency(str(error)) from None
        if done.returncode:
            why = shortened(last_line(done.stderr.decode("utf-8", "replace"))) or f"exit code {done.returncode}"
            raise ConfigError(f"{bundle} is written, but {key} did not sign it ({why}): check the key and its passphrase")
        path = signature_path(bundle)
        write_bytes(path, signature_path(link).read_bytes())
    return path


def signer_of(bundle: Path, allowed: Path) -> str:
    """Return who signed a bundle, as a file of allowed signers names them.

    Raises:
        ArtifactError: If its signature is missing, or not by a key of the file, for this bundle, for edgecnn and now.
        ConfigError: If the file can't be read.
        MissingDependency: If ssh-keygen is not installed.
    """
    _require_ssh_keygen()
    try:
        return signed_by(bundle, signature_path(bundle), allowed)
    except BadSignature as error:
        raise ArtifactError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"{error.filename} can't be read {because(error, 'name a readable file')}") from error


def _require_ssh_keygen() -> None:
    if shutil.which("ssh-keygen") is None:
        raise MissingDependency("ssh-keygen is not installed: sudo apt install openssh-client")
