"""Measure this machine's noise: compare a file with itself.

Example: edgecnn selftest artifacts/mnist/int8.tflite --trials 20
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from edgecnn.benchmarks.measure.options import Plan
from edgecnn.commands.shared import DEFAULT_FOLDER, Data, Images, Threads, Trust
from edgecnn.edge.data.folder_options import NO_OPTIONS
from edgecnn.edge.errors import ConfigError, InvalidMeasurement
from edgecnn.edge.formats import suffixes
from edgecnn.edge.option import Group, Option, checked
from edgecnn.edge.result import SILENT, Progress
from edgecnn.shell.call import Call
from edgecnn.shell.console import Json, emit

if TYPE_CHECKING:
    from edgecnn.benchmarks.compare.selftest import SelfTest


@checked
def selftest(
    file: Annotated[str | Path, Option(f"A {suffixes()} file that edgecnn exported.", argument=True)] = DEFAULT_FOLDER
    / "int8.tflite",
    *,
    trials: Annotated[int, Option("Number of comparisons of the file with itself.", low=4, high=1000)] = 20,
    plan: Annotated[
        Plan, Group("Seconds, runs and processes of each side of a comparison.", only=("min_seconds", "min_runs", "launches"))
    ] = Plan(0.2, 200, 5),
    data: Data = None,
    images: Images = NO_OPTIONS,
    trust: Trust = (),
    threads: Threads = 1,
    progress: Progress = SILENT,
) -> "SelfTest":
    """Compare a file with itself: this machine's noise floor, and whether the intervals hold on it (`holds`).

    Raises:
        ArtifactError: If the file is missing, damaged or stale.
        ConfigError: If edgecnn did not export it, or a number is out of range.
        MissingDependency: If its runtime is not installed.
    """
    from edgecnn.benchmarks.compare.selftest import selftest as run_selftest
    from edgecnn.benchmarks.measure.candidates import candidate_of
    from edgecnn.edge.inference.usage import Usage
    from edgecnn.edge.model_folder import ModelFolder

    with ModelFolder(file) as models:
        model = models.model()
        if model.manifest is None:
            raise ConfigError(f"{file}: {model.unverified}: selftest needs a file that edgecnn exported")
        opener = Usage(trust=trust).opener(model.format)
        candidate = candidate_of(model, opener, threads, models.test_images(data, images))
        return run_selftest(candidate, plan, trials, progress)


def command(call: Call, *, json: Json = None) -> None:
    """Print the noise."""
    result = call(measuring=True)
    emit(result, json)
    if not result.holds:
        raise InvalidMeasurement("comparisons on this machine must not be trusted: stop other work, or use another machine")
