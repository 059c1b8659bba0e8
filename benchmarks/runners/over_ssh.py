"""A board over ssh as a runner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.bundle.write_bundle import write_bundle
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.received import judged_here, sent
from edgecnn.benchmarks.remote.remote import Job, bench_devices
from edgecnn.benchmarks.results.records import Report
from edgecnn.benchmarks.runners.here import machine_text
from edgecnn.benchmarks.runners.settings import (
    BRIEF,
    MOST_FILES,
    THOROUGH,
    exported,
    named_runtimes,
    pair_ratios,
    settings_of,
    thread_counts,
)
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.export_records import Interval, Setting
from edgecnn.edge.files import temporary_folder
from edgecnn.edge.model_folder import ModelFolder
from edgecnn.edge.runtimes.installed import runtime_for

# Accuracy is judged here; there, images only have to warm the model up and be timed.
_IMAGES = 50
# Images that judge other runtimes there, in bytes of pixels.
_JUDGED_BYTES = 2**23
_THOROUGHLY = (f"--until-width={THOROUGH.until_width_percent}",)
_BRIEFLY = (f"--launches={BRIEF.launches}", f"--min-seconds={BRIEF.min_seconds}", f"--min-runs={BRIEF.min_runs}")


@dataclass
class OverSsh:
    """Times files on a board by `edgecnn bench` there. See `edgecnn.convert.export.config`.

    Attributes:
        host: The board as ssh takes it.
        test: Test images.
        seconds: Longest time of a search for one format.
        runtime: Name of the runtime to tune for; None for the default one of each format.
        machine: The board in words; its host until it was measured on.
    """

    host: str
    test: Split
    seconds: float
    runtime: str | None = None
    machine: str = field(init=False)
    _cores: int = field(init=False, default=1)
    unit: Literal["time"] = "time"
    most_files: int = MOST_FILES

    def __post_init__(self) -> None:
        self.machine = self.host

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Runner`.

        Raises:
            EdgeCnnError: If the board gives no result; the message is the reason.
        """
        runtime = runtime_for(exported(folder)[0].format, self.runtime)
        named = (f"--runtime={runtime}",) if runtime else ()
        report = self._bench(folder, _IMAGES, ("--max-drop=100", *named, *(_THOROUGHLY if thorough else _BRIEFLY)))
        return pair_ratios({file.artifact.path: file.launches for file in report.files}, base)

    def settings(self, folder: Path, max_drop_points: float) -> tuple[Setting, ...]:
        """See `Runner`. A runtime that the board lacks, or that refuses the file, is skipped."""
        (file,) = exported(folder)
        image_bytes = math.prod(self.test.shape)
        asked = [f"--max-drop={max_drop_points}", f"--threads={','.join(map(str, thread_counts(self._cores)))}"]
        asked += [f"--runtime={name}" for name in (file.format, *named_runtimes(file.format))]
        return settings_of(self._bench(folder, max(_IMAGES, _JUDGED_BYTES // image_bytes), asked))

    def _bench(self, folder: Path, most_images: int, arguments: Sequence[str]) -> Report:
        """Return what `edgecnn bench` measures there."""
        with temporary_folder() as scratch:
            bundle = scratch / "tuning.zip"
            write_bundle(bundle, ModelFolder(folder), self.test, test_images=min(most_images, len(self.test.labels)))
            mend = f"edgecnn bench FOLDER --device {self.host} --install"
            given = (*arguments, "--allow=noise")
            job = Job(bundle, given, running_version(), mend, partial(judged_here, of=sent(bundle, given)))
            (device,) = bench_devices([self.host], job, "edgecnn export").devices
        if device.result is None:
            raise EdgeCnnError(f"{self.host}: {device.error}")
        self.machine, self._cores = machine_text(device.result.machine), device.result.machine.cores
        return device.result
