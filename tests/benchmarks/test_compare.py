"""Two results beside each other."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.compare import IMPROVED, NO_EVIDENCE, WORSE, compare_reports, evidence, ratio_of
from benchmarks.compare_text import comparison_text
from benchmarks.gate import FAIL, PASS, UNDECIDED, Policy
from benchmarks.noise import Noise
from benchmarks.results import Launch, Report
from benchmarks.times import Times
from edge.errors import ConfigError

LOAD = Noise("load", None, "other processes used 1.20 cores while files were timed: stop them")
DRIFT = Noise("drift", "int8.tflite", "int8.tflite: it drifted")


@pytest.fixture
def quiet(measured: Report) -> Report:
    """`measured`, as if the machine had been quiet."""
    return replace(measured, noise=())


def launch(like: Launch, medians_ns: list[int]) -> Launch:
    """Return a launch whose rounds have these medians."""
    return replace(like, rounds=tuple(replace(like.rounds[0], measured=Times.pack([m - 5, m, m + 5])) for m in medians_ns))


def with_medians(report: Report, name: str, medians_ns: list[list[int]]) -> Report:
    """Return the report with other rounds in one file's launches."""
    files = tuple(
        replace(file, launches=tuple(launch(file.launches[0], row) for row in medians_ns)) if file.name == name else file
        for file in report.files
    )
    return replace(report, files=files)


def changed(report: Report, medians_ns: list[list[int]]) -> Report:
    return with_medians(report, "int8.tflite", medians_ns)


STEADY = [[1000, 1002], [1004, 1002], [998, 1000], [1001, 1001]]
SLOWER = [[int(1.1 * value) for value in row] for row in STEADY]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda r: replace(r, machine=replace(r.machine, cpu="Another")), "CPU: .* and Another"),
        (lambda r: replace(r, machine=replace(r.machine, board="Board 5")), "board: None and Board 5"),
        (lambda r: replace(r, machine=replace(r.machine, machine="riscv64")), "architecture: .* and riscv64"),
        (lambda r: replace(r, machine=replace(r.machine, cores=97)), "number of cores: .* and 97"),
        (lambda r: replace(r, dataset=replace(r.dataset, test_sha256="0" * 64)), "test images: .* and 000000000000"),
        (lambda r: replace(r, timed_region="another"), "timed region: .* and another"),
        (lambda r: replace(r, before=replace(r.before, governors=("powersave",))), "governor: .* and powersave"),
    ],
    ids=["cpu", "board", "architecture", "cores", "images", "region", "governor"],
)
def test_unlike_results_are_refused_and_force_says_so(other: object, reason: str, quiet: Report) -> None:
    unlike = other(quiet)  # type: ignore[operator]  # A function of the list above.
    with pytest.raises(ConfigError, match=rf"old and new are not comparable: .*{reason}.*: use --force"):
        compare_reports(("old", quiet), ("new", unlike))
    text = comparison_text(compare_reports(("old", quiet), ("new", unlike), force=True))
    assert "Compared all the same, as asked: " in text


def test_results_without_a_common_file_are_refused(quiet: Report) -> None:
    first, *others = quiet.files
    with pytest.raises(ConfigError, match=r"share no file: they have float32\.tflite and int8\.tflite, float32\.onnx"):
        compare_reports(("old", replace(quiet, files=(first,))), ("new", replace(quiet, files=tuple(others))))


def test_files_are_matched_by_their_number_of_threads(quiet: Report) -> None:
    two = replace(quiet, files=tuple(replace(file, threads=2) for file in quiet.files))
    with pytest.raises(ConfigError, match=r"share no file: they have float32\.tflite, .* and float32\.tflite x2,"):
        compare_reports(("old", quiet), ("new", two))
    # In a sweep the file with one thread has another name.
    swept = replace(quiet, files=tuple(replace(file, name=f"{file.name} x1") for file in quiet.files))
    assert [change.name for change in compare_reports(("old", quiet), ("new", swept)).changes] == [f.name for f in quiet.files]


def test_another_runtime_is_told(quiet: Report) -> None:
    new = replace(quiet, files=tuple(replace(file, runtime="another 2.0") for file in quiet.files))
    text = comparison_text(compare_reports(("old", quiet), ("new", new)))
    assert f"int8.tflite ran on {quiet.files[1].runtime} then, on another 2.0 now." in text


def test_a_single_launch_gives_no_interval_and_is_refused(quiet: Report) -> None:
    with pytest.raises(ConfigError, match=r"int8\.tflite was opened by one process only.*bench with --launches 5"):
        compare_reports(("old", quiet), ("new", changed(quiet, STEADY[:1])))


@pytest.mark.parametrize("limit", [-1, 1001, float("nan")])
def test_a_limit_out_of_range_is_refused(limit: float, quiet: Report) -> None:
    with pytest.raises(ConfigError, match="--max-slowdown must be 0 to 1000 percent"):
        compare_reports(("old", quiet), ("new", quiet), limit)


def test_slower_faster_and_the_same_are_told_apart(quiet: Report) -> None:
    old, new = changed(quiet, STEADY), changed(quiet, SLOWER)
    worse = compare_reports(("old", old), ("new", new)).changes[1]
    assert (worse.name, worse.evidence, worse.same_file, worse.slowdown) == ("int8.tflite", WORSE, True, None)
    assert worse.ratio.estimate == pytest.approx(1.1, rel=1e-3)
    assert worse.old_ns == pytest.approx(1001, rel=1e-3)
    assert worse.new_ns == pytest.approx(1101, rel=1e-3)
    assert compare_reports(("old", new), ("new", old)).changes[1].evidence == IMPROVED
    assert compare_reports(("old", old), ("new", old)).changes[1].evidence == NO_EVIDENCE


def test_the_ratios_interval_is_welchs_on_logarithms(quiet: Report) -> None:
    like = quiet.files[0].launches[0]
    old = [launch(like, [round(np.exp(value))]) for value in (10.0, 10.1, 10.2)]
    new = [launch(like, [round(np.exp(value))]) for value in (10.3, 10.5, 10.4)]
    # Equal variances of 0.01 and 3 launches each: 4 degrees of freedom, t = 2.776.
    half = 2.7764 * np.sqrt(0.01 / 3 + 0.01 / 3)
    ratio = ratio_of(new, old)
    assert np.log([ratio.low, ratio.estimate, ratio.high]) == pytest.approx([0.3 - half, 0.3, 0.3 + half], abs=1e-3)


@pytest.mark.parametrize(("limit", "status"), [(9.0, FAIL), (9.9, UNDECIDED), (12.0, PASS)])
def test_a_slowdown_fails_where_all_of_the_interval_is_beyond(limit: float, status: str, quiet: Report) -> None:
    old, new = changed(quiet, STEADY), changed(quiet, SLOWER)
    new = replace(new, files=new.files[1:2])
    comparison = compare_reports(("old", old), ("new", new), limit)
    assert comparison.changes[0].slowdown == status
    text = comparison_text(comparison)
    assert ("FAIL: int8.tflite: new / old is +9." in text) == (status == FAIL)
    assert ("more launches would decide" in text) == (status == UNDECIDED)
    assert ("PASS: no file became slower by more than" in text) == (status == PASS)


@pytest.mark.parametrize("noise", [LOAD, DRIFT])
def test_unstable_results_are_not_judged_unless_allowed(noise: Noise, quiet: Report) -> None:
    noisy = replace(quiet, noise=(noise,))
    for old, new, which in ((quiet, noisy, "new"), (noisy, quiet, "old")):
        refused = compare_reports(("old", old), ("new", new), 5)
        assert refused.refused == (f"{which}: {noise.text} ({noise.name})",)
        text = comparison_text(refused)
        assert "INVALID: no limit is judged on unstable times: measure again, or --allow NAME." in text
        assert "PASS" not in text
    allowed = compare_reports(("old", quiet), ("new", noisy), 5, policy=Policy((noise.name,)))
    assert allowed.refused == ()
    assert f"Unstable: new: {noise.text}" in " ".join(comparison_text(allowed).split())
    # Without a limit nothing is judged, and the noise is still told.
    assert "Unstable: new: " in comparison_text(compare_reports(("old", quiet), ("new", noisy)))


def test_noise_of_a_file_that_is_not_compared_does_not_matter(quiet: Report) -> None:
    alone = replace(quiet, files=quiet.files[:1], noise=(DRIFT,))
    assert compare_reports(("old", quiet), ("new", alone), 1000).noise == ()


def test_files_of_one_side_only_and_changed_files_are_named(quiet: Report) -> None:
    first, second, third = quiet.files
    other = replace(second, artifact=replace(second.artifact, sha256="0" * 64))
    old, new = replace(quiet, files=(first, second)), replace(quiet, files=(other, third))
    comparison = compare_reports(("old", old), ("new", new))
    assert [change.name for change in comparison.changes] == ["int8.tflite"]
    assert (comparison.only_old, comparison.only_new) == (("float32.tflite",), ("float32.onnx",))
    text = comparison_text(comparison)
    for part in ("int8.tflite *", "*: the file itself is another one now.", "Only in the old one: float32.tflite."):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_same_machine_twice_gives_no_evidence_in_95_of_100_cases(quiet: Report) -> None:
    rng = np.random.default_rng(5)
    like = quiet.files[0].launches[0]

    def benchmark(factor: float = 1.0) -> list[Launch]:
        # As measured: processes differ by 1 %, now and then by 3 % more, and rounds by 0.3 %.
        processes = 1 + 0.01 * rng.standard_normal(5) + 0.03 * (rng.random(5) < 0.1)
        return [
            launch(like, [round(1e6 * factor * p * (1 + 0.003 * rng.standard_normal())) for _ in range(2)]) for p in processes
        ]

    runs = 400
    same = sum(evidence(ratio_of(benchmark(), benchmark())) == NO_EVIDENCE for _ in range(runs))
    assert same >= 0.95 * runs - 2 * np.sqrt(runs * 0.95 * 0.05)
    slower = sum(evidence(ratio_of(benchmark(1.1), benchmark())) == WORSE for _ in range(100))
    assert slower > 90


def test_random_inputs_are_unlike_images_and_like_each_other(quiet: Report) -> None:
    random = replace(quiet, dataset=None, class_names=(), files=tuple(replace(file, accuracy=None) for file in quiet.files))
    with pytest.raises(ConfigError, match=r"not comparable: test images: [0-9a-f]{12} and none, random inputs"):
        compare_reports(("old", quiet), ("new", random))
    assert "Compared all the same" in comparison_text(compare_reports(("old", quiet), ("new", random), force=True))
    alike = compare_reports(("old", random), ("new", random))
    assert {(change.old_correct, change.new_correct) for change in alike.changes} == {(None, None)}
    assert "None" not in comparison_text(alike)
