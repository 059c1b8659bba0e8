"""Find the most accurate network within limits of time and size.

edgecnn's own networks are measured before they are trained. Those within the limits are trained by successive halving, and
exported as int8; the validation images choose one, and the test images judge it. A network that is beyond them is tried with
smaller pictures too, unless their size is stated or there is a teacher. The same command continues where it was stopped.
OUT/fit.json is the record, OUT/fit.png the picture.

The exit code is 3 if no file is shown to be within the limits, and 7 if the machine was too noisy to tell.

Example: edgecnn fit --data photos --max-p90-ms 2 --max-size-kib 100 --minutes 30
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.measure.options import Allow
from edgecnn.commands.shared import DataOrDataset, ImagesAndShare, RayAddress, StatedInterface
from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ConfigError, GateFailed, InvalidMeasurement, field
from edgecnn.edge.formats import device_formats
from edgecnn.edge.model.interface import as_interface
from edgecnn.edge.option import Group, Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, Verbose, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.results.fit import Fit

NO_LIMITS = Budget(max_drop_points=None)


@checked
def fit(  # Longer than 50 lines: its arguments and their docs.
    data: DataOrDataset = None,
    budget: Annotated[
        Budget, Group("The limits, at least one of them.", "Limits", only=("max_p90_ms", "max_size_kib"))
    ] = NO_LIMITS,
    out: Annotated[str | Path, Option("Output folder, with one folder per network.", metavar="DIR")] = Path("artifacts/fit"),
    *,
    minutes: Annotated[
        float, Option("Limit of the training time; measuring and export come on top.", metavar="N", above=0)
    ] = 30.0,
    model: Annotated[
        str | Path | None,
        Option(
            "Trained .keras file out of which channels are cut until it fits, and which is trained on in between.",
            metavar="FILE",
            default="none: edgecnn's own networks",
            kind=Path,
        ),
    ] = None,
    device: Annotated[
        str | None,
        Option(
            "Board that the time is measured on, as ssh takes it, or an emulated core, such as cortex-a72.",
            metavar="HOST|CORE",
            default="this machine",
            panel="Limits",
        ),
    ] = None,
    max_instructions: Annotated[
        int | None,
        Option("Most instructions for one image, on an emulated core.", metavar="N", low=1, panel="Limits"),
    ] = None,
    transfer: Annotated[
        Sequence[str],
        Option(
            "Network trained on ImageNet to try too, by its name in train; a file of its weights, if not Keras's own, follows "
            "its name.",
            metavar="NAME[=FILE]",
        ),
    ] = (),
    config: Annotated[
        TrainConfig,
        Group("Training settings of all networks; network, filters and epochs are planned.", only=("teacher", "seed")),
    ] = TrainConfig(),
    model_format: Annotated[str, Option("Format of the files.", name="--format", one_of=device_formats())] = "tflite",
    tune: Annotated[
        bool,
        Option(
            "Also tune the last networks' files where the time is measured, as edgecnn export does; up to two minutes for each "
            "come on top."
        ),
    ] = False,
    ray: RayAddress = None,
    allow: Allow = (),
    images: ImagesAndShare = NO_OPTIONS,
    interface: StatedInterface = None,
    command: str = "edgecnn.fit(...)",
    progress: Progress = SILENT,
) -> "Fit":
    """Find the most accurate of edgecnn's networks whose int8 file is within limits of time and size.

    Args:
        data: Training, validation and test images: a `Dataset`, or an argument of `edgecnn.load_dataset`. A share of the
            training images becomes validation images, if there are none. Default: MNIST, or those in the manifest of `model`.
        command: Command that the result gives to repeat it.

    Returns:
        The chosen file, its share of right test images with an interval, and all networks that were looked at.

    Raises:
        ArtifactError: If a file in a network's folder is damaged.
        ConfigError: If there is no limit, `ray` or `transfer` comes with `model`, there is no such network to transfer, no time
            to train one network, or `out` holds another search.
        GateFailed: If no network is within the limits.
        EdgeCnnError: If the board can't be reached or gives no result, or a task of Ray was lost several times.
        MissingDependency: If TensorFlow, a runtime or Ray is not installed.
        KeyboardInterrupt: If interrupted; the same call continues.
    """
    from edgecnn.benchmarks.deploy.checks import measuring_on
    from edgecnn.benchmarks.gate.gate import Policy
    from edgecnn.benchmarks.runners.emulated import CORES
    from edgecnn.benchmarks.runners.timed import installed_by
    from edgecnn.convert.export.config import ExportConfig
    from edgecnn.convert.export.source import read_source
    from edgecnn.convert.keras.load import kernels_to_train
    from edgecnn.convert.training.checkpoint import needs_validation
    from edgecnn.convert.training.train import images_for, with_learnt
    from edgecnn.edge.data.dataset import Dataset, smaller_sizes
    from edgecnn.edge.model.interface import interface_of
    from edgecnn.workflows.fit import fitted
    from edgecnn.workflows.fit_costs import FitJob
    from edgecnn.workflows.prune import pruned
    from edgecnn.workflows.sweep import network_work

    budget = _limits(budget, device, max_instructions)
    if model and transfer:
        raise ConfigError(f"{field('transfer')} adds networks to a search, and {field('model')} cuts one model: omit one")
    if model and ray:
        raise ConfigError(f"{field('ray')}: cuts into {field('model')} follow one another, and are trained here: omit it")
    transfers = _transferred(config, transfer)
    with kernels_to_train():
        exporting, taken = ExportConfig((model_format,), ("int8",)), as_interface(interface, images.fit or "letterbox")
        source = None if model is None else read_source(Path(model), (), progress.say)
        if source:
            taken = interface_of(source, taken)
        known = source.manifest if source else None
        dataset = images_for(known, data, images, progress, needed=True)
        if dataset.val is None:
            raise needs_validation("minutes", dataset)
        if known:
            dataset = with_learnt(dataset, str(model), known, progress)
        work = network_work(dataset, exporting, tune, Path(out), taken, progress, device)
        is_stated = isinstance(data, Dataset) or images.size or config.teacher  # A teacher takes images of one size.
        sizes = () if is_stated else smaller_sizes(dataset)
        board = measuring_on(device, installed_by(device, (model_format,))).machine if device and device not in CORES else None
        limits = (budget, max_instructions, minutes, device, board)
        job = FitJob(work, config, transfers, sizes, *limits, Policy(tuple(allow)), command, ray)
        if job.core and not tune:  # What tunes has prepared it.
            job.core.prepare()
        return pruned(job, source) if source else fitted(job)


def _limits(budget: Budget, device: str | None, max_instructions: int | None) -> Budget:
    """Return the limits of time and size; ConfigError if no limit is set, or one that is not measured there."""
    from edgecnn.benchmarks.runners.emulated import CORES

    limits = Budget(max_drop_points=None, max_p90_ms=budget.max_p90_ms, max_size_kib=budget.max_size_kib)
    if replace(budget, max_drop_points=None) != limits:
        raise ConfigError(f"{field('budget')} has other limits than max_p90_ms and max_size_kib: bench judges by those")
    if device and device.startswith("cortex-") and device not in CORES:
        raise ConfigError(f"{field('device')}={device} can't be emulated: use {', '.join(CORES)}, or a board over ssh")
    if device in CORES and budget.max_p90_ms is not None:
        raise ConfigError(
            f"{field('max_p90_ms')}: an emulated core counts instructions, which are no times: "
            f"use {field('max_instructions')}, or a board over ssh"
        )
    if device not in CORES and max_instructions is not None:
        raise ConfigError(
            f"{field('max_instructions')} are counted on an emulated core: add {field('device')}={next(iter(CORES))}, or use "
            f"{field('max_p90_ms')}"
        )
    if budget.max_p90_ms is None and budget.max_size_kib is None and max_instructions is None:
        slow = f"{field('max_instructions')}=1000000" if device in CORES else f"{field('max_p90_ms')}=5"
        raise ConfigError(f"there is no limit: add {slow}, {field('max_size_kib')}=100, or both")
    return limits


def _transferred(config: TrainConfig, texts: Sequence[str]) -> tuple[TrainConfig, ...]:
    """Return the settings for each `NAME` or `NAME=FILE`; ConfigError if a network is not known or repeated."""
    from edgecnn.convert.training.model.backbones import BACKBONES

    found: dict[str, TrainConfig] = {}
    for text in texts:
        name, has_file, weights = text.partition("=")
        if name not in BACKBONES:
            raise ConfigError(f"{field('transfer')} must be one of {', '.join(BACKBONES)}, got {name}")
        if has_file and not weights:
            raise ConfigError(f"{field('transfer')}={text} names no file: omit the =, or name one")
        if name in found:
            raise ConfigError(f"{field('transfer')}={name} is there twice: omit one")
        found[name] = replace(config, transfer=name, weights=weights or None)
    return tuple(found.values())


def command(call: Call, *, json: Json = None, verbose: Verbose = False) -> None:
    """Print the file to ship."""
    result = call(measuring=True)
    emit(result, json, verbose=verbose)
    if result.chosen is None:
        statuses, repeat = {file.status for file in result.files}, "type the same command, which repeats the measurement alone"
        if "INVALID" in statuses:
            raise InvalidMeasurement(
                f"the times are too noisy to judge, see the reasons above: stop other programs, then {repeat}"
            )
        if "UNDECIDED" in statuses:
            raise GateFailed(f"no file is shown to be within the limits, see the reasons above: {repeat}, or allow more")
        raise GateFailed("no file can be shipped, see the reasons above: allow more, give it more minutes, or more test images")
