"""Measures a folder's files or a bundle on devices over ssh: what is sent, and to whom."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.benchmarks.gate.budget import load_budgets
from edgecnn.benchmarks.remote.install import device_wheel, running_version
from edgecnn.benchmarks.remote.received import judged_here, sent
from edgecnn.benchmarks.remote.remote import Install, Job, unreachable
from edgecnn.benchmarks.remote.remote import bench_devices as bench_bundle
from edgecnn.benchmarks.remote.ssh import check_hosts
from edgecnn.benchmarks.results.records import DEVICES_SCHEMA, DeviceResult, DeviceResults
from edgecnn.edge.data.folder_options import NO_OPTIONS, FolderOptions
from edgecnn.edge.errors import ConfigError, field, setting
from edgecnn.edge.files import read_bytes, temporary_folder
from edgecnn.edge.inference.usage import Target
from edgecnn.edge.manifest import BUNDLE_SUFFIX
from edgecnn.edge.model_folder import opened
from edgecnn.edge.result import SILENT, Progress
from edgecnn.edge.runtimes.installed import runtime_formats

_BUDGET_NAME = "budget.toml"


def bench_devices(  # Longer than 50 lines: from a folder to results, its arguments and their docs.
    target: Target,
    hosts: Sequence[str],
    *,
    arguments: Sequence[str] = (),
    budget: str | Path | None = None,
    runtime: Sequence[str] = (),
    install: bool = False,
    data: str | Path | None = None,
    images: FolderOptions = NO_OPTIONS,
    command: str | None = None,
    progress: Progress = SILENT,
) -> DeviceResults:
    """Run `edgecnn bench` on devices over ssh, side by side, on a folder's files or a bundle.

    docs/how-to/boards-over-ssh.md has the rules. A device that gives no result raises no exception: its `error` says why.

    Args:
        target: A folder with a manifest, or a bundle.
        hosts: The devices, as ssh takes them.
        arguments: Options of `edgecnn bench` there, for example `--threads=1,2`.
        budget: A TOML file with limits, which is sent too.
        runtime: Runtimes or formats whose files are sent; `arguments` choose what is measured.
        install: Whether to install edgecnn there, in its own virtual environment.
        data: Where a folder's test images are now. Default: where the manifest says.
        images: How a folder of images is read.
        command: The command that the result gives to repeat it. Default: this call.
        progress: Receives lines of progress, each with its device.

    Returns:
        A report for each device, or the reason why there is no report.

    Raises:
        ArtifactError: If a file is missing, damaged or stale.
        ConfigError: If no host is named, a name is invalid, no file is for a device, the budget has a limit that would judge
            none, or a bundle's images are to be others.
    """
    check_hosts(hosts)
    with opened(target) as models, temporary_folder() as scratch:
        if not models.is_folder:
            raise ConfigError("devices take a folder with a manifest, or a bundle: name one")
        if models.bundle:
            images.require_no_others(str(models.named), data)
        limits = Path(budget) if budget else None
        files, given = {}, list(arguments)
        if limits:
            files[_BUDGET_NAME] = read_bytes(limits).decode(errors="replace")
            given.append(f"--budget={_BUDGET_NAME}")
        named = runtime_formats(list(runtime))
        exported = models.manifest.exported if models.manifest else ()
        chosen = [artifact for artifact in exported if not named or artifact.format in named]
        if not chosen:
            raise ConfigError(
                f"{models.named} has no file for {' or '.join(runtime)} that a device could run: omit {field('runtime')}"
            )
        names = tuple(artifact.path for artifact in chosen)
        # Errors in it are raised here already; a board that lacks a limited file's runtime refuses it for itself.
        load_budgets(limits, {}, names)
        again = f"edgecnn.bench_devices({str(models.named)!r}, {list(hosts)!r}"
        installing = setting("install", True)
        command, mend = (command, f"{command} {installing}") if command else (f"{again})", f"{again}, {installing})")
        away = {host: DeviceResult(host, reason, None) for host, reason in unreachable(hosts, progress.say).items()}
        there = [host for host in hosts if host not in away]
        if not there:
            return DeviceResults(DEVICES_SCHEMA, command, tuple(away.values()))
        bundle = models.bundle
        if bundle is None:
            bundle = scratch / f"{models.path.resolve().name}{BUNDLE_SUFFIX}"
            write_bundle(bundle, models, models.test_images(data, images), names, on_progress=progress.say)
        wanted = None
        if install:
            progress.say("building edgecnn's wheel, unless it came from a package index")
            runtimes = tuple(sorted({name for file in chosen for name in named.get(file.format, (file.format,))}))
            wanted = Install(runtimes, device_wheel(scratch / "wheel"))
        judged = partial(judged_here, of=sent(bundle, arguments, limits))
        job = Job(bundle, tuple(given), running_version(), mend, judged, wanted, files)
        found = bench_bundle(there, job, command, progress.say)
        devices = away | {device.host: device for device in found.devices}
        return replace(found, devices=tuple(devices[host] for host in hosts))
