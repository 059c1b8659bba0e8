"""`edgecnn bench --device`: measuring on other machines."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import typer

import edgecnn as ec
from edgecnn.cli.bench_options import DeviceOptions
from edgecnn.cli.console import emit
from edgecnn.cli.options import ImageOptions
from edgecnn.cli.progress import shown

# Parameters of `bench` that are used here.
_OWN = ("targets", "device", "install", "budget", "json", "verbose")
# Parameters that make a folder's bundle, as in `edgecnn bundle`.
_IMAGES = ("data", "size", "channels", "fit", "test_share", "split_seed", "labels")
# Parameters that go to the device unchanged. Any other parameter is refused.
_SENT = (
    *(
        "runtime",
        "threads",
        "min_seconds",
        "min_runs",
        "launches",
        "until_width",
        "percentile",
        "batch",
        "rate",
        "sustained",
        "profile",
    ),
    *(
        "max_drop",
        "min_accuracy",
        "min_agreement",
        "max_class_drop",
        "max_brier_increase",
        "max_p90_ms",
        "max_size_kib",
        "max_memory_mib",
        "allow",
        "strict",
    ),
)


def bench_on_devices(
    context: typer.Context,
    target: Path,
    devices: DeviceOptions,
    runtime: list[str],
    budget: Path | None,
    images: ImageOptions,
    json: Path | None,
) -> None:
    """Measure a folder or a bundle on devices, and print the results."""
    hosts = devices.device or []
    with ec.open(target) as models:
        arguments = sent_arguments(context, from_bundle=models.bundle is not None)
        with shown() as progress:
            results = ec.bench_devices(
                models,
                hosts,
                arguments=arguments,
                budget=budget,
                runtime=runtime,
                install=devices.install,
                **images.arguments(),
                command=context.obj,
                progress=progress,
            )
    emit(results, json, verbose=context.params["verbose"])
    reports = [device.result for device in results.devices if device.result]
    if failed := len(hosts) - len(reports):
        raise ec.EdgeCnnError(f"devices without a result: {failed} of {len(hosts)}: see the reasons above")
    if results.is_invalid:
        raise ec.InvalidMeasurement("a measurement is too noisy to judge: see the reasons above")
    if refused := [report.verdict.status for report in reports if report.verdict.refuses]:
        raise ec.GateFailed(f"{failures(refused, len(hosts), 'device')}: see the reasons above")


def sent_arguments(context: typer.Context, from_bundle: bool) -> list[str]:
    """Return the options of this `bench` for the device's `bench`.

    Raises:
        ConfigError: If a given option can't go there: none is dropped silently.
    """
    arguments = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in _OWN or (name in _IMAGES and not from_bundle):
            continue
        option = parameter.opts[0]
        if name in _IMAGES:
            raise ec.ConfigError(f"{option} is not for a bundle, which has its own images: omit it")
        if name in ("markdown", "csv"):
            raise ec.ConfigError(f"{option} is for the result of one machine: with --device, use --json")
        if name not in _SENT:
            raise ec.ConfigError(f"{option} does not go with --device: omit it")
        value = context.params[name]
        if value is True:
            arguments.append(option)
            continue
        # One argument each, so that a value that begins with a dash stays a value.
        arguments += [f"{option}={item}" for item in (value if isinstance(value, (list, tuple)) else [value])]
    return arguments


def failures(statuses: Sequence[str], of: int, what: str) -> str:
    """Return how many did not pass, with their verdicts, for example `2 of 3 files did not pass (1 FAIL, 1 UNDECIDED)`.

    Args:
        statuses: Statuses other than PASS, at least one.
        of: Number of items judged.
        what: Name of an item, in the singular.
    """
    counts = ", ".join(f"{count} {status}" for status, count in sorted(Counter(statuses).items()))
    return f"{len(statuses)} of {of} {what}{'s' if of != 1 else ''} did not pass ({counts})"
