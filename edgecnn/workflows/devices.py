"""Measures files on other machines."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgecnn.benchmarks.judge.budgets import load_budgets
from edgecnn.benchmarks.proof.write_bundle import write_bundle
from edgecnn.benchmarks.remote.install import device_wheel, running_version
from edgecnn.benchmarks.remote.received import judged_here, sent
from edgecnn.benchmarks.remote.remote import Install, Job, unreachable
from edgecnn.benchmarks.remote.remote import bench_devices as bench_bundle
from edgecnn.benchmarks.remote.ssh import check_hosts
from edgecnn.benchmarks.results.devices import SCHEMA, DeviceResults
from edgecnn.edge.data.folder_options import FolderOptions
from edgecnn.edge.errors import ConfigError, field
from edgecnn.edge.files import read_bytes
from edgecnn.edge.folder.file_names import BUNDLE_SUFFIX
from edgecnn.edge.folder.model_folder import opened
from edgecnn.edge.progress import Progress
from edgecnn.edge.runtimes.installed import runtime_formats
from edgecnn.edge.temporary import temporary_folder
from edgecnn.workflows.usage import Target

_BUDGET_NAME = "budget.toml"


def measured_on(  # Longer than 50 lines: from a folder to results.
    target: Target,
    hosts: Sequence[str],
    *,
    arguments: Sequence[str],
    budget: str | Path | None,
    runtime: Sequence[str],
    install: bool,
    data: str | Path | None,
    images: FolderOptions,
    command: str | None,
    progress: Progress,
) -> DeviceResults:
    """Measure on devices. Arguments and errors are those of `edgecnn.bench_devices`."""
    check_hosts(hosts)
    with opened(target) as models, temporary_folder() as scratch:
        if not models.is_folder:
            raise ConfigError("devices take a folder with a manifest, or a bundle: name one")
        files, given = {}, list(arguments)
        if budget:
            files[_BUDGET_NAME] = read_bytes(Path(budget)).decode(errors="replace")
            given.append(f"--budget={_BUDGET_NAME}")
        named = runtime_formats(list(runtime))
        exported = models.manifest.exported if models.manifest else ()
        chosen = [artifact for artifact in exported if not named or artifact.format in named]
        if not chosen:
            raise ConfigError(
                f"{models.named} has no file for {' or '.join(runtime)} that a device could run: omit {field('runtime')}"
            )
        # Errors in it are raised here already; a board that lacks a limited file's runtime refuses it for itself.
        load_budgets(Path(budget) if budget else None, {}, tuple(artifact.path for artifact in chosen))
        command = command or f"edgecnn.bench_devices({str(models.named)!r}, {list(hosts)!r})"
        away = unreachable(hosts, progress.say)
        there = [host for host in hosts if host not in away]
        if not there:
            return DeviceResults(SCHEMA, command, tuple(away.values()))
        bundle = models.bundle
        if bundle is None:
            bundle = scratch / f"{models.path.resolve().name}{BUNDLE_SUFFIX}"
            names = tuple(artifact.path for artifact in chosen)
            write_bundle(bundle, models, models.test_images(data, images), names, on_progress=progress.say)
        wanted = None
        if install:
            progress.say("building edgecnn's wheel, unless it came from a package index")
            runtimes = tuple(sorted({name for file in chosen for name in named.get(file.format, (file.format,))}))
            wanted = Install(runtimes, device_wheel(scratch / "wheel"))
        original = sent(bundle, arguments, Path(budget) if budget else None)
        judged = partial(judged_here, of=original)
        job = Job(bundle, tuple(given), running_version(), f"{command} --install", judged, wanted, files)
        found = bench_bundle(there, job, command, progress.say)
        devices = away | {device.host: device for device in found.devices}
        return replace(found, devices=tuple(devices[host] for host in hosts))
