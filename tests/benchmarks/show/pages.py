"""A page, and results to make one of."""

from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from edgecnn.benchmarks.gate.accuracy import Accuracy
from edgecnn.benchmarks.gate.budget import Budget
from edgecnn.benchmarks.gate.gate import Check, Status, Verdict, join
from edgecnn.benchmarks.gate.tally import compare
from edgecnn.benchmarks.machine.host import Machine, State
from edgecnn.benchmarks.machine.noise import Load, Noise
from edgecnn.benchmarks.measure.options import Plan
from edgecnn.benchmarks.results.latency_summary import beside_fastest, summarize
from edgecnn.benchmarks.results.records import SCHEMA, FileResult, Launch, Paced, Report, Round, Throughput, Unmeasured, Window
from edgecnn.benchmarks.timing.latency import TIMED_REGION
from edgecnn.benchmarks.timing.profile import OpTime, Profile
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.data.splits import ArraySplit
from edgecnn.edge.manifest import Artifact, DatasetRecord, TensorSpec


def accuracy(flips: int = 4, images: int = 200, classes: int = 3) -> Accuracy:
    """Return a comparison: the last `flips` images are lost; if any, image 0 is gained and 1 wrong in another way."""
    labels = np.arange(images) % classes
    reference, candidate = labels.copy(), labels.copy()
    if flips:
        reference[:2] = 2
        candidate[1] = 0
        candidate[-flips:] = (labels[-flips:] + 1) % classes
    sure = [np.eye(classes, dtype=np.float32)[chosen] * 0.5 + np.float32(0.5 / classes) for chosen in (candidate, reference)]
    return compare(sure[0], sure[1], labels)


def launches(count: int = 2, microseconds: float = 50, runs: int = 20) -> tuple[Launch, ...]:
    rng = np.random.default_rng(7)

    def a_round() -> Round:
        times = (1000 * microseconds * (1 + rng.random(runs) / 10)).astype(np.int64)
        return Round(Times.pack([90_000]), Times.pack(times), 1_000_000, None)

    return tuple(
        Launch(1_000_000, 2_000_000, Times.pack([120_000]), True, (a_round(), a_round()), 50 * 2**20, 40 * 2**20)
        for _ in range(count)
    )


def file_result(
    name: str, status: Status = "PASS", microseconds: float = 50, of: Accuracy | None = None, launched: int = 2
) -> FileResult:
    spec = TensorSpec("image", (1, 4, 4, 1), "float32")
    stem, _, model_format = name.rpartition(".")
    artifact = Artifact(model_format, stem, name, 40_000, "ab" * 32, None, spec, spec, None, None)
    taken = launches(launched, microseconds)
    return FileResult(
        name=name,
        artifact=artifact,
        runtime=f"runtime-of-{model_format} 1.0",
        threads=1,
        launches=taken,
        latency=summarize(taken, (50, 90, 99)),
        accuracy=of or accuracy(),
        throughput=None,
        paced=None,
        sustained=(),
        profile=None,
        profile_problem=None,
        budget=Budget(),
        verdict=Verdict(status, (Check(status, f"the drop of {name} was looked at"),)),
    )


def report(*files: FileResult, class_names: tuple[str, ...] = ("cat", "dog", "owl"), noise: tuple[Noise, ...] = ()) -> Report:
    baseline, compared = beside_fastest(files)
    state = State("2026-01-02T03:04:05Z", 0.5, ("ondemand",), 1_500_000, 50.0, 85.0, 0, False)
    return Report(
        schema=SCHEMA,
        command="edgecnn bench artifacts/animals --json r.json",
        versions={"edgecnn": "0.1.0"},
        folder="artifacts/animals",
        dataset=DatasetRecord("animals", "/data/animals", "c" * 64, "d" * 64),
        class_names=class_names,
        plan=Plan(launches=len(files[0].launches), rounds=2),
        timed_region=TIMED_REGION,
        empty_call=Times.pack([70, 80, 90]),
        machine=Machine("aarch64", "Board 5", "Cortex-A76", 4, None, "Linux 6", "3.11.2", None),
        before=state,
        during=(replace(state, temperature_celsius=71.0, clock_khz=600_000, throttled=0x40004), state),
        after=replace(state, load=None, temperature_celsius=60.0),
        load=Load(3.0, 0.02, 0.0),
        extras_load=Load(1.0, 0.01, 0.0),
        baseline=baseline,
        notes=(),
        noise=noise,
        allowed=(),
        files=compared,
        verdict=join([(file.name, file.verdict) for file in files]),
        unmeasured=(Unmeasured("keras", "their runtime is not installed"),),
    )


def rich(file: FileResult) -> FileResult:
    """Add what options add."""
    return replace(
        file,
        throughput=Throughput(8, True, Times.pack([400_000]), 20_000.0),
        paced=Paced(30.0, 3, 1, 1, Times.pack([300_000, 400_000]), Times.pack([200_000, 210_000])),
        sustained=tuple(Window(float(k), 100, 50_000 + k, 60_000, 90_000, 50.0 + k, 1_500_000) for k in (1, 2, 3)),
        profile=Profile(10, 30.0, "a profiler", "it rounds", (OpTime("Conv", 20.0, 2 / 3), OpTime("Gemm", 10.0, 1 / 3))),
    )


class Page(HTMLParser):
    """What a page has, as a browser would read it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str, of_class: str = "") -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and (not of_class or of_class in (attributes.get("class") or "").split())
        ]


def pictures(count: int = 200, side: int = 4, channels: int = 1) -> ArraySplit:
    images = np.random.default_rng(3).integers(0, 256, (count, side, side, channels), np.uint8)
    return ArraySplit(images, np.zeros(count, np.int64))
