"""`edgecnn bench --device`: the same on other machines."""

import tempfile
from pathlib import Path

import typer

from benchmarks.bundle import write_bundle
from benchmarks.gate import INVALID, PASS, STATUSES, UNJUDGED
from benchmarks.remote import Install, Job, bench_devices
from benchmarks.remote_install import running_version, running_wheel
from benchmarks.remote_text import devices_text
from benchmarks.ssh import check_hosts
from commands.options import ImageOptions
from commands.targets import Target
from convert.own_images import recorded_images
from edge.bundle import SUFFIX
from edge.console import emit, say
from edge.errors import ConfigError, EdgeCnnError, GateFailed, InvalidMeasurement
from edge.files import read_bytes
from edge.manifest import Manifest

# The parameters of `bench` that are used here.
_OWN = ("targets", "device", "install", "budget", "json")
# Those that make the bundle of a folder, as `edgecnn bundle` has them.
_IMAGES = ("data", "size", "channels", "fit", "test_share", "split_seed", "labels")
# Those that go to the device as they were given. What is in none of these lists is refused.
_SENT = (
    *("runtime", "threads", "min_seconds", "min_runs", "launches", "percentile", "batch", "rate", "sustained", "profile"),
    *("max_drop", "min_agreement", "max_p90_ms", "max_size_kib", "max_memory_mib", "allow", "strict"),
)
_BUDGET_NAME = "budget.toml"


def bench_on_devices(
    context: typer.Context,
    where: Target,
    devices: list[str],
    install: bool,
    runtime: list[str] | None,
    budget: Path | None,
    images: ImageOptions,
    json: Path | None,
) -> None:
    """Measure a folder or a bundle on devices and print what they give."""
    check_hosts(devices)
    arguments = sent_arguments(context, from_bundle=where.bundle is not None)
    files = {}
    if budget:
        files[_BUDGET_NAME] = read_bytes(budget).decode(errors="replace")
        arguments.append(f"--budget={_BUDGET_NAME}")
    manifest = Manifest.load(where.path)
    chosen = [
        artifact
        for artifact in manifest.artifacts
        if artifact.format != "keras" and artifact.format in (runtime or artifact.format)
    ]
    if not chosen:
        raise ConfigError(
            f"{where.named} has no file for {' or '.join(runtime or ())} that a device could run: leave --runtime away"
        )
    with tempfile.TemporaryDirectory(prefix="edgecnn-") as temporary:
        scratch = Path(temporary)
        bundle = where.bundle
        if bundle is None:
            bundle = scratch / f"{where.path.resolve().name}{SUFFIX}"
            test = recorded_images(manifest.dataset, images.data, manifest.class_names, images.folder())
            write_bundle(bundle, where.path, test, tuple(artifact.path for artifact in chosen), None, say)
        wanted = None
        if install:
            formats = tuple(sorted({artifact.format for artifact in chosen}))
            say("building edgecnn's wheel, if it is not from a package index")
            wanted = Install(formats, running_wheel(scratch / "wheel"))
        job = Job(bundle, tuple(arguments), running_version(), f"{context.obj} --install", wanted, files)
        results = bench_devices(devices, job, context.obj, say)
    emit(devices_text(results), results, json)
    reports = [device.result for device in results.devices if device.result]
    if failed := len(devices) - len(reports):
        raise EdgeCnnError(f"devices that gave no result: {failed} of {len(devices)}: see the reasons above")
    worst = max((report.verdict.status for report in reports), key=STATUSES.index)
    if worst == INVALID:
        raise InvalidMeasurement("a measurement must not be judged: see the reasons above")
    if worst not in (PASS, UNJUDGED):
        outside = sum(report.verdict.status not in (PASS, UNJUDGED) for report in reports)
        raise GateFailed(f"devices that are not within the budget: {outside} of {len(devices)}: see the reasons above")


def sent_arguments(context: typer.Context, from_bundle: bool) -> list[str]:
    """Return the options of this `bench` that the device's gets.

    Raises:
        ConfigError: If one was given that can't go there: none is dropped.
    """
    arguments = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in _OWN or (name in _IMAGES and not from_bundle):
            continue
        option = parameter.opts[0]
        if name in _IMAGES:
            raise ConfigError(f"{option} is not for a bundle, which has its own images: leave it away")
        if name in ("markdown", "csv"):
            raise ConfigError(f"{option} is for the result of one machine: with --device, take --json")
        if name not in _SENT:
            raise ConfigError(f"{option} does not go with --device: leave it away")
        value = context.params[name]
        if value is True:
            arguments.append(option)
            continue
        # As one argument each: a value that begins with a dash stays a value.
        arguments += [f"{option}={item}" for item in (value if isinstance(value, (list, tuple)) else [value])]
    return arguments
