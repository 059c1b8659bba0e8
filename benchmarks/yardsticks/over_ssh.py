"""A board over ssh as a yardstick."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgecnn.benchmarks.proof.write_bundle import write_bundle
from edgecnn.benchmarks.remote.install import running_version
from edgecnn.benchmarks.remote.remote import Job, bench_devices
from edgecnn.benchmarks.yardsticks.here import machine_text
from edgecnn.benchmarks.yardsticks.launches import BRIEF, MOST_FILES, ratios
from edgecnn.edge.data.splits import Split
from edgecnn.edge.errors import EdgeCnnError
from edgecnn.edge.export_records import Interval
from edgecnn.edge.folder.model_folder import ModelFolder
from edgecnn.edge.temporary import temporary_folder

# Accuracy is judged here; there, images only have to warm the model up and be timed.
_IMAGES = 50
_ALWAYS = ("--max-drop=100", "--allow=noise")
_BRIEFLY = (f"--launches={BRIEF.launches}", f"--min-seconds={BRIEF.min_seconds}", f"--min-runs={BRIEF.min_runs}")


@dataclass
class OverSsh:
    """Times files on a board by `edgecnn bench` there. See `edgecnn.convert.export.tuning.yardstick`.

    Attributes:
        host: The board as ssh takes it.
        test: Test images.
        seconds: Longest time of a search for one format.
        machine: The board in words; its host until it was measured on.
    """

    host: str
    test: Split
    seconds: float
    machine: str = field(init=False)
    unit: Literal["time"] = "time"
    most_files: int = MOST_FILES

    def __post_init__(self) -> None:
        self.machine = self.host

    def compare(self, folder: Path, base: str, *, thorough: bool) -> dict[str, Interval]:
        """See `Yardstick`.

        Raises:
            EdgeCnnError: If the board gives no result; the message is the reason.
        """
        with temporary_folder() as scratch:
            bundle = scratch / "tuning.zip"
            images = min(_IMAGES, len(self.test.labels))
            write_bundle(bundle, ModelFolder(folder), self.test, test_images=images)
            mend = f"edgecnn bench FOLDER --device {self.host} --install"
            job = Job(bundle, _ALWAYS + (() if thorough else _BRIEFLY), running_version(), mend)
            (device,) = bench_devices([self.host], job, "edgecnn export").devices
        if device.result is None:
            raise EdgeCnnError(f"{self.host}: {device.error}")
        self.machine = machine_text(device.result.machine)
        return ratios({file.name: file.launches for file in device.result.files}, base)
