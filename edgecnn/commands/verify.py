"""Check that files compute correctly on this machine.

A file is compared with its reference, a bundle with its golden vectors.

The exit code is 4 if a probability differs by more than the tolerance, and 7 if the outputs do not depend on the image.

With --device alone, the bundle in service on a board is checked there.

Example: edgecnn verify artifacts/mnist.zip
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.commands.shared import Data, Devices, Images, Signature, StatedInterface, TargetIfAny, Threads, Trust
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ArtifactError, ConfigError, InvalidMeasurement, field
from edgecnn.edge.option import Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call, on_boards
from edgecnn.shell.console import Json, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.bundle.golden import GoldenCheck
    from edgecnn.benchmarks.bundle.verify import Verification
    from edgecnn.benchmarks.deploy.records import BoardChecks
    from edgecnn.edge.inference.usage import Target

AllowedSigners = Annotated[
    str | Path | None,
    Option(
        "File of ssh-keygen's allowed signers, one of whom must have signed the bundle.",
        metavar="FILE",
        default="any bundle, signed or not",
    ),
]


@checked
def verify(
    target: TargetIfAny = None,
    *,
    reference: Annotated[
        str | Path | None,
        Option("Another file of the model.", default="the stored outputs of the Keras model"),
    ] = None,
    tolerance: Annotated[
        float | None,
        Option("Largest accepted difference of a probability.", default="that of the file's precision", low=0, high=1),
    ] = None,
    allowed_signers: AllowedSigners = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    signature: Signature = None,
    threads: Threads = 1,
    progress: Progress = SILENT,
) -> "Verification | GoldenCheck":
    """Check that a file computes on this machine what its reference computes, or for a bundle, its golden vectors.

    A difference beyond the tolerance raises no exception: see `passed` and `problem` of the result.

    Returns:
        The `GoldenCheck` of a bundle's files, or the `Verification` of one file on test images.

    Raises:
        ArtifactError: If a file is missing or damaged, a runtime refuses it, or no allowed signer signed the bundle.
        ConfigError: If there is nothing to compare with, or the images or the tolerance do not fit.
        MissingDependency: If no file has a runtime here, or ssh-keygen is not installed.
    """
    from edgecnn.benchmarks.bundle.golden import checked_bundle
    from edgecnn.benchmarks.bundle.verify import verified
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model_folder import opened

    if target is None:
        raise ConfigError(f"nothing is named: name a file or a bundle, or a board with {field('devices')}")
    # Before anything in the bundle is read.
    signer = _signer(target, Path(allowed_signers)) if allowed_signers else None
    with opened(target) as models:
        if models.bundle and not reference and not data:
            images.require_none(str(models.named))  # Its pictures are its own.
            usage = Usage(images=images, interface=interface, trust=trust, signature=signature, threads=threads)
            return replace(checked_bundle(models, usage, tolerance, progress), signer=signer)
        usage = Usage(data, images, interface, trust, signature, threads)
        result = verified(models, Path(reference) if reference else None, usage, tolerance, progress)
    return replace(result, notes=(*result.notes, f"The bundle is signed by {signer}.")) if signer else result


def _signer(target: "Target", allowed: Path) -> str:
    """Return who signed a bundle."""
    from edgecnn.benchmarks.bundle.signature import signer_of
    from edgecnn.edge.model_file import bundle_of
    from edgecnn.edge.model_folder import ModelFolder

    bundle = target.bundle if isinstance(target, ModelFolder) else bundle_of(Path(target))
    if bundle is None:
        if not isinstance(target, ModelFolder) and not Path(target).exists():
            raise ArtifactError(f"{target} does not exist: name a bundle")
        raise ConfigError(f"{field('allowed_signers')} is for a bundle, which {target} is not: omit it, or name a bundle")
    return signer_of(bundle, allowed)


@checked
def verify_devices(devices: Devices, *, progress: Progress = SILENT) -> "BoardChecks":
    """Compare the golden vectors of the bundles in service on boards, over ssh.

    A board that does not answer raises no exception: see its `error`.

    Raises:
        ConfigError: If no board or an invalid one is named.
        MissingDependency: If ssh is not installed here.
    """
    from edgecnn.benchmarks.deploy.checks import verified_on

    return verified_on(devices, progress)


def command(call: Call, *, devices: Devices = (), json: Json = None) -> None:
    """Print what was compared."""
    if devices:
        on_boards(call, verify_devices, devices, json)
        return
    result = call()
    emit(result, json)
    if result.problem:
        raise (InvalidMeasurement if result.same_for_all else ArtifactError)(result.problem)
