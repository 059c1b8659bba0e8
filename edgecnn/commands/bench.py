"""Measure files, and judge them against a budget.

Accuracy is compared with the float Keras model or the first file. Files without labelled images (--data) are measured on
random inputs, for latency only.

The exit code is 0 for PASS or without limits, 3 for FAIL, UNDECIDED and UNJUDGED, 7 for INVALID, and 1 if a --device
gave no result.

Example: edgecnn bench --runtime onnx --max-drop 0.5 --max-p90-ms 5
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.measure.options import PERCENTILES, Allow, BenchOptions, Preference
from edgecnn.commands.shared import DEFAULT_FOLDER, WISH, Data, Images, Signature, StatedInterface, Trust, found_usage
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ArtifactError, ConfigError, EdgeCnnError, GateFailed, InvalidMeasurement, field
from edgecnn.edge.files import read_bytes, write_bytes
from edgecnn.edge.formats import RUNTIMES, device_formats, format_of
from edgecnn.edge.manifest import BENCH_NAME, MODEL_CARD_NAME
from edgecnn.edge.option import Group, Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Csv, Json, Markdown, Verbose, emit, write_text

if TYPE_CHECKING:
    from edgecnn.benchmarks.results.records import Report
    from edgecnn.edge.inference.usage import Target


def _with_usual_percentiles(**given: Any) -> BenchOptions:
    return BenchOptions(**{**given, "percents": tuple(sorted({*PERCENTILES, *given.get("percents", ())}))})


@checked
def bench(  # Longer than 50 lines: its arguments and their docs.
    target: Annotated[
        "Target | Sequence[str | Path]",
        Option(
            "A folder with a manifest, a bundle, or files.",
            metavar="DIR | ZIP | FILE",
            argument=True,
            kind=Path,
            repeat=True,
            board="here",
        ),
    ] = DEFAULT_FOLDER,
    *,
    budget: Annotated[
        Budget | str | Path | None,
        Option("TOML file with limits; options override it.", metavar="TOML", panel="Limits", board="here"),
    ] = None,
    limits: Annotated[
        Mapping[str, float | None],
        Group("Limits by the names of `Budget`'s fields, which override those of `budget`.", "Limits", kind=Budget, given=True),
    ] = MappingProxyType({}),
    options: Annotated[
        BenchOptions,
        Group(
            "What to measure: threads, launches, percentiles, batches, and how long.", "Measuring", make=_with_usual_percentiles
        ),
    ] = BenchOptions(),
    runtime: Annotated[
        str | Sequence[str],
        Option(
            f"{', '.join(RUNTIMES)}; {' or '.join(device_formats())} means the default runtime of a format",
            default="all with a file",
            kind=str,
            repeat=True,
        ),
    ] = (),
    reference: Annotated[
        str | Path | None,
        Option("Model file that the others are compared with.", default="the first", board="refused"),
    ] = None,
    allow: Allow = (),
    strict: Annotated[bool, Option("Make any unstable time INVALID.", panel="Limits")] = False,
    prefer: Annotated[Preference, Option(WISH, metavar="accuracy|speed|size")] = "accuracy",
    groups: Annotated[
        str | Path | None,
        Option(
            "Columns image and group: one group's images are dependent evidence.",
            metavar="CSV",
            panel="Limits",
            board="refused",
        ),
    ] = None,
    data: Data = None,
    images: Images = NO_OPTIONS,
    interface: StatedInterface = None,
    trust: Trust = (),
    signature: Signature = None,
    command: str | None = None,
    progress: Progress = SILENT,
) -> "Report":
    """Measure files, each in separate processes, and judge them against the float Keras model or the first file.

    A file outside its budget raises no exception: see `verdict` of the report and of its files. The report on a folder is also
    written into it, as `bench.json`, and its model card says which file to ship. Files without labelled images
    are measured on random inputs, for their latency alone.

    Args:
        budget: The limits, or a TOML file with them. Default: a drop of 0.5 percentage points.
        command: The command that the report gives to repeat it. Default: this call.

    Returns:
        The report: raw times in nanoseconds, percentiles, accuracy, the state of the machine, and the verdict.

    Raises:
        ArtifactError: If a file is missing, damaged or stale, or a runtime refuses it.
        ConfigError: If the arguments contradict each other, or a limit would judge nothing.
        InvalidMeasurement: If the machine does not report a process's memory.
        MissingDependency: If a runtime is not installed.
    """
    from edgecnn.benchmarks.gate.gate import Policy
    from edgecnn.benchmarks.measure.run import benchmark
    from edgecnn.benchmarks.measure.targets import budgets_of, candidates, grouped
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model_file import read_model
    from edgecnn.edge.model_folder import ModelFolder, opened
    from edgecnn.edge.packages import versions
    from edgecnn.edge.runtimes.installed import runtime_formats

    runtimes = runtime_formats([runtime] if isinstance(runtime, str) else list(runtime))
    targets = [target] if isinstance(target, (str, Path, ModelFolder)) else list(target)
    if len(targets) != 1 and not (targets and all(format_of(Path(str(item))) for item in targets)):
        raise ConfigError(f"bench takes one folder, or model files with {field('reference')}: name them")
    usage = Usage(data, images, interface, trust, signature)
    with ExitStack() as stack:
        models = [stack.enter_context(opened(item)) for item in targets]
        if data is not None and not models[0].is_folder:
            usage = found_usage(usage, [item.model() for item in models], progress)
        files = candidates(models, usage, runtimes, Path(reference) if reference else None, options, progress)
        if groups:
            files = grouped(files, Path(groups))
        report = benchmark(
            files,
            options,
            budgets_of(files, budget, limits or {}),
            Policy(tuple(allow), strict),
            command=command or f"edgecnn.bench({', '.join(repr(str(item.named)) for item in models)})",
            versions=versions("numpy"),
            progress=progress,
        )
        report = dataclasses.replace(report, prefer=prefer)
        if files.images and not models[0].is_folder:
            from edgecnn.workflows.repair import repair_notes

            read = [item.model() for item in models] + ([read_model(Path(reference))] if reference else [])
            notes = repair_notes(report, read, usage, files.images.test, progress)
            report = dataclasses.replace(report, notes=(*report.notes, *notes))
        if models[0].is_folder and not models[0].bundle:
            _keep(report, models[0].path, progress)
        return report


def _keep(report: "Report", folder: Path, progress: Progress) -> None:
    """Write a folder's last benchmark into it, which `edgecnn.serve` shows, and the file to ship into its model card.

    A folder that can't be written to has neither.
    """
    from edgecnn.benchmarks.show.model_card import with_choice

    card = folder / MODEL_CARD_NAME
    try:
        write_bytes(folder / BENCH_NAME, report.to_json().encode())
    except ConfigError as error:
        progress.say(f"the result is not kept in the folder: {error}")
        return
    if not card.is_file():
        return
    try:
        # What its author wrote in another encoding keeps its bytes.
        text = with_choice(read_bytes(card).decode(errors="surrogateescape"), report)
        if text is not None:
            write_bytes(card, text.encode(errors="surrogateescape"))
        else:
            progress.say(f"{card} does not say which file to ship, since the part that edgecnn writes was edited")
    except (ArtifactError, ConfigError) as error:
        progress.say(f"the model card does not say which file to ship: {error}")


def command(
    call: Call,
    *,
    device: Annotated[
        Sequence[str],
        Option("Measure on this host over ssh; several are measured at once.", metavar="HOST", panel="Boards", board="here"),
    ] = (),
    install: Annotated[
        bool, Option("With --device: install edgecnn there, in its own virtual environment.", panel="Boards", board="here")
    ] = False,
    json: Json = None,
    verbose: Verbose = False,
    markdown: Markdown = None,
    csv: Csv = None,
) -> None:
    """Print the report, and let the exit code say the verdict."""
    given = call.arguments()
    targets = given.get("target", (DEFAULT_FOLDER,))
    Budget(**given["limits"])
    if device:
        _on_devices(call, targets, device, install, json, verbose)
        return
    if install:
        raise ConfigError("--install needs --device: name one, or install here with pip")
    report = call(target=targets if len(targets) > 1 else targets[0], measuring=True)
    emit(report, json, verbose=verbose)
    if markdown:
        write_text(markdown, report.to_markdown())
    if csv:
        write_text(csv, report.to_csv())
    if report.verdict.is_invalid:
        raise InvalidMeasurement("the measurement is too noisy to judge: see the reasons above")
    if report.verdict.refuses:
        refused = [file.verdict.status for file in report.files if file.verdict.refuses]
        raise GateFailed(f"{_failures(refused, len(report.files), 'file')}: see the reasons above")


def _on_devices(
    call: Call, targets: Sequence[Path], hosts: Sequence[str], install: bool, json: Path | None, verbose: bool
) -> None:
    """Measure a folder or a bundle on devices, and print the results."""
    from edgecnn.benchmarks.remote.devices import bench_devices
    from edgecnn.edge.model_folder import open_models

    if len(targets) > 1 or format_of(targets[0]):
        raise ConfigError("--device takes a folder with a manifest, or a bundle: name one")
    given = call.arguments()
    with open_models(targets[0]) as models:
        results = call(
            bench_devices,
            target=models,
            hosts=hosts,
            arguments=forwarded(call, from_bundle=models.bundle is not None),
            budget=given.get("budget"),
            runtime=given.get("runtime", ()),
            install=install,
            data=given.get("data"),
            images=given.get("images", NO_OPTIONS),
        )
    emit(results, json, verbose=verbose)
    reports = [item.result for item in results.devices if item.result]
    if failed := len(hosts) - len(reports):
        raise EdgeCnnError(f"devices without a result: {failed} of {len(hosts)}: see the reasons above")
    if results.is_invalid:
        raise InvalidMeasurement("a measurement is too noisy to judge: see the reasons above")
    if refused := [report.verdict.status for report in reports if report.verdict.refuses]:
        raise GateFailed(f"{_failures(refused, len(hosts), 'device')}: see the reasons above")


def forwarded(call: Call, from_bundle: bool) -> list[str]:
    """Return the options of this `bench` for the device's `bench`.

    Raises:
        ConfigError: If a given option can't go there: none is dropped silently.
    """
    arguments: list[str] = []
    for setting in call.settings:
        value = call.given.get(setting.path)
        where = setting.option.board
        if value is None or where == "here":
            continue
        if where == "images":  # They make a folder's bundle, as in `edgecnn bundle`.
            if from_bundle:
                raise ConfigError(f"{setting.typed} is not for a bundle, which has its own images: omit it")
        elif where == "refused":
            raise ConfigError(f"{setting.typed} does not go with --device: omit it")
        elif value is True:
            arguments.append(setting.typed)
        else:
            # One argument each, so that a value that begins with a dash stays a value.
            several = value if setting.repeated else [value]
            arguments += [
                f"{setting.typed}={','.join(map(str, item)) if isinstance(item, tuple) else item}" for item in several
            ]
    return arguments


def _failures(statuses: Sequence[str], of: int, what: str) -> str:
    """Return how many did not pass, with their verdicts, for example `2 of 3 files did not pass (1 FAIL, 1 UNDECIDED)`."""
    from edgecnn.benchmarks.gate.gate import UNDECIDED

    counts = ", ".join(f"{count} {status}" for status, count in sorted(Counter(statuses).items()))
    which = "neither passed nor failed" if {*statuses} == {UNDECIDED} else "did not pass"
    return f"{len(statuses)} of {of} {what}{'s' if of != 1 else ''} {which} ({counts})"
