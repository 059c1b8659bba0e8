"""Check whether this machine and its files will work.

Nothing is installed or changed. The exit code is 4 if something will not work.

With --device alone, a board is examined, and the bundle in service there.

Example: edgecnn doctor artifacts/mnist
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.commands.shared import Devices, Signature
from edgecnn.edge.errors import ArtifactError
from edgecnn.edge.option import Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call, on_boards
from edgecnn.shell.console import Json, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.deploy.records import BoardChecks
    from edgecnn.benchmarks.doctor.examine import Examination
    from edgecnn.edge.inference.usage import Target


@checked
def doctor(
    target: Annotated[
        "Target | None",
        Option(
            "Also run this file, or the exported files of a folder or bundle.",
            metavar="FILE | DIR | ZIP",
            argument=True,
            kind=Path,
        ),
    ] = None,
    *,
    signature: Signature = None,
    progress: Progress = SILENT,
) -> "Examination":
    """Examine this machine and, if named, whether exported files will work on it. Nothing is installed or changed.

    It takes some seconds: each runtime is imported, and each file is run once, in a child process.

    Returns:
        Findings; `problems` are those that keep something from working, each with its fix.

    Raises:
        ArtifactError: If the target does not exist, has no valid manifest, or is a damaged bundle.
    """
    from edgecnn.benchmarks.doctor.examine import examine

    progress.say("examining this machine, importing each runtime")
    return examine(Path(target) if isinstance(target, str) else target, signature)


@checked
def doctor_devices(devices: Devices, *, progress: Progress = SILENT) -> "BoardChecks":
    """Examine boards over ssh, and whether the bundles in service work there. Nothing is installed or changed.

    A board that does not answer raises no exception: see its `error`.

    Raises:
        ConfigError: If no board or an invalid one is named.
        MissingDependency: If ssh is not installed here.
    """
    from edgecnn.benchmarks.deploy.checks import examined_on

    return examined_on(devices, progress)


def command(call: Call, *, devices: Devices = (), json: Json = None) -> None:
    """Print the findings."""
    if devices:
        on_boards(call, doctor_devices, devices, json)
        return
    result = call()
    emit(result, json)
    if result.problems:
        raise ArtifactError(f"problems found: {len(result.problems)}, each with its fix above")
