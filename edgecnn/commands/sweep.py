"""Train, export and measure networks of several kinds and sizes.

Accuracy is shown against time, size and multiply-accumulates. Finished work is not repeated: the same command
continues where it was stopped. OUT/sweep.png is the picture, OUT/sweep.json the record, OUT/bench.json the measurement.

Example: edgecnn sweep --filters 32,32,32 --filters 8,16,16 --reach 99
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from edgecnn.benchmarks.measure.options import Allow
from edgecnn.commands.shared import DataOrDataset, ImagesAndShare, QatEpochs, RayAddress, StatedInterface
from edgecnn.convert.training.config import TrainConfig
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ConfigError, InvalidMeasurement, field
from edgecnn.edge.formats import PRECISIONS, device_formats
from edgecnn.edge.model.interface import as_interface
from edgecnn.edge.option import Group, Option, checked, whole_numbers
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, Verbose, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.results.sweep import Sweep


@checked
def sweep(  # Longer than 50 lines: its arguments and their docs.
    filters: Annotated[
        Sequence[tuple[int, ...]],
        Option(
            "Filters of the three stages of edgecnn's own networks; repeat this option for each size.",
            metavar="N,N,N",
            default="none",
            parse=whole_numbers,
            example="8,16,32",
            repeat=True,
        ),
    ] = (),
    data: DataOrDataset = None,
    out: Annotated[str | Path, Option("Output folder, with one folder per network.", metavar="DIR")] = Path("artifacts/sweep"),
    *,
    networks: Annotated[
        Sequence[str],
        Option(
            "cnn, residual, strided or separable, each with all sizes, or module:function; repeat this option for each.",
            name="--network",
        ),
    ] = ("cnn",),
    arguments: Mapping[str, Sequence[float | str]] = MappingProxyType({}),
    config: Annotated[
        TrainConfig,
        Group(
            "Training settings of all networks; its own network, filters, model and arguments are ignored.",
            only=("epochs", "augment", "teacher", "seed", "keep", "patience"),
        ),
    ] = TrainConfig(),
    minutes: Annotated[
        float | None,
        Option(
            "Limit of the training time: all train for a few epochs, the better half for twice as many, and so on, until three "
            "are left. It plans the epochs and needs validation images.",
            metavar="N",
            default="none",
            above=0,
        ),
    ] = None,
    model_format: Annotated[str, Option("Format of the files.", name="--format", one_of=device_formats())] = "tflite",
    precision: Annotated[str, Option("Precision of the files.", name="--quantize", one_of=tuple(PRECISIONS))] = "int8",
    qat: QatEpochs = None,
    ray: RayAddress = None,
    tune: Annotated[bool, Option("Tune each network's int8 file for this machine, as edgecnn export does.")] = False,
    # Less than 1 was meant as a share.
    reach_percent: Annotated[
        float | None,
        Option(
            "Accuracy in percent for which the smallest sufficient file is also named.",
            name="--reach",
            metavar="PERCENT",
            low=1,
            high=100,
            unit="percent",
        ),
    ] = None,
    beside: Annotated[
        Sequence[str | Path],
        Option(
            "Folder of an exported model, whose file gets a row for comparison, as of a model that others trained; repeat this "
            "option for each.",
            metavar="FOLDER",
            default="none",
            repeat=True,
        ),
    ] = (),
    allow: Allow = (),
    images: ImagesAndShare = NO_OPTIONS,
    interface: StatedInterface = None,
    command: str = "edgecnn.sweep(...)",
    progress: Progress = SILENT,
) -> "Sweep":
    """Train, export, measure and judge several networks: accuracy against time, size and multiply-accumulates.

    With validation images, the networks are compared and chosen on them, and the test images judge those chosen; without
    them, the test images do both. Finished work is not repeated: the same call continues where it stopped. It writes
    sweep.png, sweep.json and bench.json into `out`.

    Args:
        filters: Three numbers for each size of edgecnn's own networks, one per stage, for example `(8, 16, 32)`.
        data: Training and test images: a `Dataset`, or an argument of `edgecnn.load_dataset`.
        arguments: Values of keyword arguments of your own functions, for example `{"width": [8, 16, 32]}`, and of `dropout` for
            edgecnn's own networks; a network is trained for each combination of those that it takes.
        command: Command that the measurement's report recommends for repeating.

    Returns:
        A row for each exported network; `report` is the measurement.

    Raises:
        ArtifactError: If a file in a network's folder, or in one beside them, is damaged or missing.
        ConfigError: If a number is out of range, no network takes an argument, a network can't be built, or `out` holds
            another sweep.
        MissingDependency: If TensorFlow, a runtime or Ray is not installed.
        EdgeCnnError: If a task of Ray was lost several times, or no node is left.
        KeyboardInterrupt: If interrupted; the same call continues.
    """
    from edgecnn.benchmarks.gate.gate import Policy
    from edgecnn.convert.export.config import ExportConfig
    from edgecnn.convert.keras.load import kernels_to_train
    from edgecnn.convert.training.checkpoint import needs_validation
    from edgecnn.convert.training.choices import reasons_of
    from edgecnn.convert.training.train import images_for
    from edgecnn.workflows.sweep import network_work, require_interface, settings_of_networks, swept

    if tune and precision != "int8":
        raise ConfigError(f"{field('tune')} makes int8 files: use it with {field('precision')}=int8")
    taken, policy = as_interface(interface, images.fit or "letterbox"), Policy(tuple(allow))
    exporting = ExportConfig((model_format,), (precision,), qat=qat)
    with kernels_to_train():
        require_interface(networks, taken)
        planned = settings_of_networks(config, networks, filters, arguments)
        dataset = images_for(None, data, images, progress)
        for name, given in (("minutes", minutes), ("patience", config.patience)):
            if given is not None and dataset.val is None:
                raise needs_validation(name, dataset)
        work = network_work(dataset, exporting, tune, Path(out), taken, progress)
        others = tuple(map(Path, (beside,) if isinstance(beside, (str, Path)) else beside))
        reasons = reasons_of(data, dataset, images)
        return swept(work, planned, others, reasons, minutes, reach_percent, policy, command, ray)


def _values(text: str) -> tuple[str, list[str]]:
    name, _, values = text.partition("=")
    if not (name and all(values.split(","))):
        raise ValueError(text)
    return name, values.split(",")


def command(
    call: Call,
    *,
    arguments: Annotated[
        Sequence[tuple[str, list[str]]],
        Option(
            "Values of a keyword argument of module:function, or of dropout. Every combination is trained.",
            name="--set",
            metavar="NAME=V,V,...",
            default="none",
            parse=_values,
            example="width=8,16,32",
            repeat=True,
        ),
    ] = (),
    json: Json = None,
    verbose: Verbose = False,
) -> None:
    """Print the networks."""
    given = call.arguments()
    if "minutes" in given and ("config", "epochs") in call.given:
        raise ConfigError("--minutes plans the number of epochs: omit --epochs")
    values = dict(arguments)
    if len(values) < len(arguments):
        raise ConfigError(f"{field('arguments')} must name each argument once, for example width=8,16,32")
    result = call(arguments=values, measuring=True)
    emit(result, json, verbose=verbose)
    if result.report and result.report.verdict.is_invalid:
        raise InvalidMeasurement("the times are too noisy to judge: see the reasons above")
