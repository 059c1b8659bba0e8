"""Put a model into service on boards over ssh, and take it back if it is not healthy there.

The bundle is sent, verified and, with --budget, measured on each board; then a running edgecnn serve goes over to it without
refusing a request. What was in service before stays there, for --rollback. The exit code is 3 if a board refused the bundle or
took it back, and 1 if it is missing on a board for another reason.

Example: edgecnn deploy artifacts/mnist --device pi@raspberrypi.local --install
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.benchmarks.deploy.options import DeployOptions
from edgecnn.commands.shared import DEFAULT_FOLDER, Data, Devices, Images, SigningKey
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ConfigError, EdgeCnnError, GateFailed, field
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.manifest import BUNDLE_SUFFIX
from edgecnn.edge.option import Group, Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.text import counted
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.deploy.records import Deployment, DeployStatus
    from edgecnn.edge.inference.usage import Target


@checked
def deploy(  # Longer than 50 lines: its arguments and their docs.
    target: Annotated[
        "Target",
        Option("A folder with a manifest and exported files, or a bundle.", metavar="DIR | ZIP", argument=True, kind=Path),
    ] = DEFAULT_FOLDER,
    *,
    devices: Devices = (),
    files: Annotated[
        Sequence[str], Option("File to deploy.", name="--file", default="the one that the last bench says to ship, or all")
    ] = (),
    options: Annotated[DeployOptions, Group("How it goes into service.")] = DeployOptions(),
    sign: SigningKey = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    command: str | None = None,
    progress: Progress = SILENT,
) -> "Deployment":
    """Put a model into service on boards over ssh: side by side, and no further one after the first failure.

    A board that does not take the bundle raises no exception: see its `outcome` and `reason`.

    Args:
        command: The command that the result gives to repeat it. Default: this call.

    Returns:
        What became of the bundle on each board.

    Raises:
        ArtifactError: If a file is missing, damaged or stale.
        ConfigError: If no board or an invalid one is named, a file is unknown, the budget has a limit that would judge none,
            or the key can't sign.
        MissingDependency: If ssh or a runtime is not installed here.
    """
    from edgecnn.benchmarks.bundle.signature import require_key
    from edgecnn.benchmarks.bundle.signature import sign as signed
    from edgecnn.benchmarks.bundle.write_bundle import write_bundle
    from edgecnn.benchmarks.deploy.boards import deploy_to
    from edgecnn.benchmarks.deploy.order import files_to_deploy, order_for
    from edgecnn.benchmarks.deploy.records import SCHEMA, Deployment
    from edgecnn.benchmarks.gate.budget import load_budgets
    from edgecnn.benchmarks.remote.ssh import check_hosts
    from edgecnn.edge.model_folder import opened

    check_hosts(devices)
    if sign:
        require_key(Path(sign))
    with opened(target) as models, temporary_folder() as scratch:
        chosen, why = files_to_deploy(models, files)
        budgets = load_budgets(options.budget, {}, chosen)
        if why:
            progress.say(why)
        bundle = models.bundle
        if bundle is None:
            bundle = scratch / f"{models.path.resolve().name}{BUNDLE_SUFFIX}"
            write_bundle(bundle, models, models.test_images(data, images), chosen, on_progress=progress.say)
        else:
            images.require_no_others(str(models.named), data)
        if sign:
            signed(bundle, Path(sign))
        if options.install:
            progress.say("building edgecnn's wheel, unless it came from a package index")
        again = command or f"edgecnn.deploy({str(models.named)!r}, devices={list(devices)!r})"
        order = order_for(bundle, models, chosen, options, budgets, again, scratch)
        boards = deploy_to(devices, order, progress)
        return Deployment(SCHEMA, again, order.name, order.bundle.stat().st_size, chosen, why, boards)


@checked
def rollback(devices: Devices, *, command: str | None = None, progress: Progress = SILENT) -> "Deployment":
    """Put the bundle that was in service before into service again, on boards side by side.

    Args:
        command: The command that the result gives to repeat it. Default: this call.

    Returns:
        What became of each board.

    Raises:
        ConfigError: If no board or an invalid one is named.
        MissingDependency: If ssh is not installed here.
    """
    from edgecnn.benchmarks.deploy.boards import rolled_back
    from edgecnn.benchmarks.deploy.records import SCHEMA, Deployment

    again = command or f"edgecnn.rollback({list(devices)!r})"
    return Deployment(SCHEMA, again, "", 0, (), None, rolled_back(devices, progress))


@checked
def deploy_status(devices: Devices, *, progress: Progress = SILENT) -> "DeployStatus":
    """Return what runs on boards: the bundle in service, those before it, and what the service says of itself.

    Raises:
        ConfigError: If no board or an invalid one is named.
        MissingDependency: If ssh is not installed here.
    """
    from edgecnn.benchmarks.deploy.boards import statuses

    return statuses(devices, progress)


def command(
    call: Call,
    *,
    status: Annotated[bool, Option("Print what runs on the boards, and change nothing.")] = False,
    roll_back: Annotated[
        bool, Option("Put the model that was in service before into service again.", name="--rollback")
    ] = False,
    json: Json = None,
) -> None:
    """Deploy, or print what runs, and let the exit code say whether all boards have it."""
    hosts = call.arguments().get("devices", ())
    if status and roll_back:
        raise ConfigError("--status changes nothing: omit it, or --rollback")
    if (status or roll_back) and (other := call.beside("devices")):
        raise ConfigError(f"{'--status' if status else '--rollback'} takes --device alone: omit {field(other)}")
    if status:
        found = call(deploy_status, devices=hosts)
        emit(found, json)
        if silent := [board for board in found.boards if board.error]:
            raise EdgeCnnError(f"{counted(silent, 'board')} of {len(found.boards)} did not answer: see the reasons above")
        return
    done = call(rollback, devices=hosts) if roll_back else call()
    emit(done, json)
    _judge(done)


def _judge(done: "Deployment") -> None:
    """Raise if a board has not what it should have."""
    from edgecnn.benchmarks.deploy.records import GOOD

    bad = [board for board in done.boards if board.outcome not in GOOD]
    if not bad:
        return
    text = f"{len(bad)} of {counted(done.boards, 'board')} without it: see the reasons above"
    raise (GateFailed if {board.outcome for board in bad} & {"refused", "taken back"} else EdgeCnnError)(text)
