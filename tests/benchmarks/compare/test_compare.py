"""Comparing two results."""

from dataclasses import replace
from typing import Any

import pytest

from edgecnn.benchmarks.compare.compare import IMPROVED, NO_EVIDENCE, UNSTABLE, WORSE, Comparison, compare_reports
from edgecnn.benchmarks.gate.gate import FAIL, PASS, UNDECIDED, Check, Policy, Verdict
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.between import Between
from edgecnn.benchmarks.results.records import Launch, Report
from edgecnn.benchmarks.show.checks import comparison_text
from edgecnn.benchmarks.timing.times import Times
from edgecnn.commands.compare import compare
from edgecnn.edge.errors import ConfigError

LOAD = Noise("load", None, "other processes used 1.20 cores while files were timed: stop them")
DRIFT = Noise("drift", "int8.tflite", "it drifted")


def launch(like: Launch, medians_ns: list[int]) -> Launch:
    """Return a launch whose rounds have these medians."""
    return replace(like, rounds=tuple(replace(like.rounds[0], measured=Times.pack([m - 5, m, m + 5])) for m in medians_ns))


def changed(report: Report, medians_ns: list[list[int]]) -> Report:
    """Return the report with other rounds in int8.tflite's launches; the other files get as many, in turns with them."""

    def as_many(launches: tuple[Launch, ...]) -> tuple[Launch, ...]:
        several = (launches * len(medians_ns))[: len(medians_ns)]
        rounds = len(medians_ns[0])
        return tuple(replace(item, rounds=(item.rounds * rounds)[:rounds]) for item in several)

    files = tuple(
        replace(file, launches=tuple(launch(file.launches[0], row) for row in medians_ns))
        if file.name == "int8.tflite"
        else replace(file, launches=as_many(file.launches))
        for file in report.files
    )
    return replace(report, files=files)


def again(report: Report) -> Report:
    """Return the report as if the same times had been measured once more."""
    files = tuple(
        replace(file, launches=tuple(replace(launch, import_ns=launch.import_ns + 1) for launch in file.launches))
        for file in report.files
    )
    return replace(report, files=files)


def compared(old: tuple[str, Report], new: tuple[str, Report], *arguments: Any, **options: Any) -> Comparison:
    """Compare one result per side; the new one is another benchmark even if it has the same times."""
    return compare_reports([old], [(new[0], again(new[1]))], *arguments, **options)


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
    with pytest.raises(ConfigError, match=rf"old and new.*not comparable:.*{reason}.*use force"):
        compared(("old", quiet), ("new", unlike))
    text = comparison_text(compared(("old", quiet), ("new", unlike), force=True))
    assert "Compared anyway, as asked: " in text


def test_results_without_a_common_file_or_of_a_single_launch_are_refused(quiet: Report) -> None:
    first, *others = quiet.files
    with pytest.raises(ConfigError, match=r"no file:.*float32\.tflite and int8\.tflite, float32\.onnx"):
        compared(("old", replace(quiet, files=(first,))), ("new", replace(quiet, files=tuple(others))))
    with pytest.raises(ConfigError, match=r"float32\.tflite.*only one process.*bench with launches=5"):
        compared(("old", quiet), ("new", changed(quiet, STEADY[:1])))


def test_files_are_matched_by_their_number_of_threads(quiet: Report) -> None:
    two = replace(quiet, files=tuple(replace(file, threads=2) for file in quiet.files))
    with pytest.raises(ConfigError, match=r"share no file:.*float32\.tflite,.*and float32\.tflite x2,"):
        compared(("old", quiet), ("new", two))
    # In a sweep the file with one thread has another name.
    swept = replace(quiet, files=tuple(replace(file, name=f"{file.name} x1") for file in quiet.files))
    assert [change.name for change in compared(("old", quiet), ("new", swept)).changes] == [f.name for f in quiet.files]


def test_another_runtime_is_told(quiet: Report) -> None:
    new = replace(quiet, files=tuple(replace(file, runtime="another 2.0") for file in quiet.files))
    text = comparison_text(compared(("old", quiet), ("new", new)))
    assert all(said in text for said in (f"int8.tflite ran on {quiet.files[1].runtime} then", "runs on another 2.0 now."))


@pytest.mark.parametrize("limit", [-1, 1001, float("nan")])
def test_a_limit_out_of_range_is_refused(limit: float, quiet: Report) -> None:
    with pytest.raises(ConfigError, match=r"max_slowdown_percent.*0 to 1000 percent"):
        compare(quiet, quiet, max_slowdown_percent=limit)


def test_slower_faster_and_the_same_are_told_apart(quiet: Report) -> None:
    old, new = changed(quiet, STEADY), changed(quiet, SLOWER)
    worse = compared(("old", old), ("new", new)).changes[1]
    assert (worse.name, worse.evidence, worse.same_file, worse.slowdown) == ("int8.tflite", WORSE, True, None)
    assert worse.ratio.estimate == pytest.approx(1.1, rel=1e-3)
    assert worse.old_ns == pytest.approx(1001, rel=1e-3)
    assert worse.new_ns == pytest.approx(1101, rel=1e-3)
    assert compared(("old", new), ("new", old)).changes[1].evidence == IMPROVED
    assert compared(("old", old), ("new", old)).changes[1].evidence == NO_EVIDENCE


def test_the_file_to_ship_by_the_new_results_is_said_and_whether_the_old_ones_name_it(quiet: Report) -> None:
    # A microsecond and a second: on the fastest and the slowest board one is less, and the other more, than other files take.
    fast, slow = ([[factor * value for value in row] for row in STEADY] for factor in (1, 1_000_000))
    old, new = changed(quiet, fast), changed(quiet, slow)
    before, after = old.choice().file, new.choice().file
    assert (before, after == "int8.tflite") == ("int8.tflite", False)
    text = " ".join(comparison_text(compared(("old", old), ("new", new))).split())
    assert f"Ship {after}, the old results name int8.tflite. It is {new.choice().reason}." in text
    text = " ".join(comparison_text(compared(("old", old), ("new", old))).split())
    assert f"Ship int8.tflite, as by the old results. It is {old.choice().reason}." in text
    failed = replace(new, files=tuple(replace(file, verdict=Verdict(FAIL, (Check(FAIL, "slow"),))) for file in new.files))
    text = " ".join(comparison_text(compared(("old", old), ("new", failed))).split())
    assert (
        f"Ship none by the new results: the closest is {failed.choice().closest}, FAIL; the old results name int8.tflite."
        in text
    )


@pytest.mark.parametrize(("limit", "status"), [(9.0, FAIL), (9.9, UNDECIDED), (12.0, PASS)])
def test_a_slowdown_fails_where_all_of_the_interval_is_beyond(limit: float, status: str, quiet: Report) -> None:
    old, new = (replace(side, files=side.files[1:2]) for side in (changed(quiet, STEADY), changed(quiet, SLOWER)))
    comparison = compared(("old", old), ("new", new), limit)
    assert comparison.changes[0].slowdown == status
    text = " ".join(comparison_text(comparison).split())
    assert ("FAIL: int8.tflite: new / old is +9." in text) == (status == FAIL)
    assert ("more old and new results" in text) == (status == UNDECIDED)
    assert ("PASS: no file became slower" in text) == (status == PASS)


@pytest.mark.parametrize("noise", [LOAD, DRIFT])
def test_unstable_results_are_not_judged_unless_allowed(noise: Noise, quiet: Report) -> None:
    noisy = replace(quiet, noise=(noise,))
    for old, new, which in ((quiet, noisy, "new"), (noisy, quiet, "old")):
        refused = compared(("old", old), ("new", new), 5)
        assert refused.refused == (f"{which}: {noise.text} ({noise.name})",)
        text = comparison_text(refused)
        assert text.startswith("INVALID: ")
        assert "PASS" not in text
    allowed = compared(("old", quiet), ("new", noisy), 5, policy=Policy((noise.name,)))
    assert allowed.refused == ()
    assert f"Unstable times: new: {noise.text}" in " ".join(comparison_text(allowed).split())
    # Without a limit nothing is judged, and the noise is still told.
    assert "Unstable times:\n  new: " in comparison_text(compared(("old", quiet), ("new", noisy)))


@pytest.mark.parametrize("noise", [LOAD, DRIFT])
def test_what_is_unstable_is_never_worse_or_improved_unless_allowed(noise: Noise, quiet: Report) -> None:
    old, new = changed(quiet, STEADY), replace(changed(quiet, SLOWER), noise=(noise,))
    for pair in ((old, new), (new, old)):
        found = compared(("old", pair[0]), ("new", pair[1]))
        assert {change.name: change.evidence for change in found.changes} == {
            "float32.tflite": UNSTABLE if noise is LOAD else NO_EVIDENCE,
            "int8.tflite": UNSTABLE,
            "float32.onnx": UNSTABLE if noise is LOAD else NO_EVIDENCE,
        }
        assert "Too unstable to say: " in comparison_text(found)
    allowed = compared(("old", old), ("new", new), policy=Policy((noise.name,)))
    assert allowed.changes[1].evidence == WORSE


def test_several_results_a_side_are_one_observation_each(quiet: Report) -> None:
    def side(*factors: float) -> list[tuple[str, Report]]:
        medians = [[[round(factor * value) for value in row] for row in STEADY] for factor in factors]
        alone = replace(quiet, files=quiet.files[1:2])
        return [(f"{factor}.json", changed(alone, rows)) for factor, rows in zip(factors, medians, strict=True)]

    apart = compare_reports(side(1.0, 1.01, 0.99), side(1.1, 1.11, 1.09))
    assert (apart.spread, apart.changes[0].evidence) == ("several benchmarks", WORSE)
    # The launches of each differ by 0.2 %; benchmarks by 5 %, which is what counts.
    assert compare_reports(side(1.0, 1.05, 0.95), side(1.03, 1.08, 0.98)).changes[0].evidence == NO_EVIDENCE
    assert "3 old and 1 new" in comparison_text(compare_reports(side(1.0, 1.01, 0.99), side(1.1)), verbose=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [("a", "A"), ("aA", "b"), ("b", "aA"), ("ab", "Ac"), ("ba", "cA"), ("a", "bA"), ("ab", "cdA")],
    ids=" ".join,
)
@pytest.mark.parametrize("force", [False, True])
def test_a_copy_of_a_benchmark_is_refused_on_whichever_side_it_is(old: str, new: str, force: bool, quiet: Report) -> None:
    """The copy `A` of `a` says another command, runtime and order of files and launches, as an edited file would."""
    reports = {"a": quiet, "b": again(quiet), "c": again(again(quiet)), "d": again(again(again(quiet)))}
    mixed = [replace(file, launches=file.launches[::-1], runtime="another 2.0") for file in quiet.files]
    reports["A"] = replace(quiet, command="another", files=tuple(mixed[::-1]))
    sides = [[(f"{name}.json", reports[name]) for name in side] for side in (old, new)]
    with pytest.raises(ConfigError, match=r"(a\.json and A|A\.json and a)\.json.*same.*measure"):
        compare_reports(sides[0], sides[1], 5.0, force=force, policy=Policy(("noise",)))


def test_a_limit_does_not_pass_a_file_that_the_new_side_lacks(quiet: Report) -> None:
    old, new = ("old.json", quiet), ("new.json", replace(quiet, files=quiet.files[:2]))
    with pytest.raises(ConfigError, match=r"not comparable: float32\.onnx:.*old.*not.*new.*use force"):
        compared(old, new, 5.0)
    assert compared(old, new).only_old == ("float32.onnx",)
    assert compared(new, old, 5.0).only_new == ("float32.onnx",)
    assert "Compared anyway, as asked: float32.onnx: " in comparison_text(compared(old, new, 5.0, force=True))


def test_one_side_has_one_file_of_a_name(quiet: Report) -> None:
    others = tuple(replace(file, artifact=replace(file.artifact, sha256="0" * 64)) for file in quiet.files)
    with pytest.raises(ConfigError, match=r"a\.json and b\.json.*different files float32\.tflite"):
        compare_reports([("old", quiet)], [("a.json", quiet), ("b.json", replace(quiet, files=others))])


def test_a_floor_widens_the_interval_and_is_told(quiet: Report) -> None:
    old, new = changed(quiet, STEADY), changed(quiet, SLOWER)
    narrow, wide = (compared(("old", old), ("new", new), floor=Between(deviation**2, 19)) for deviation in (0.001, 0.1))
    assert (narrow.changes[1].evidence, wide.changes[1].evidence) == (WORSE, NO_EVIDENCE)
    assert (wide.spread, wide.floor) == ("selftest", Between(0.1**2, 19))
    assert "one file differ by 10.0%" in " ".join(comparison_text(wide, verbose=True).split())
    with pytest.raises(ConfigError, match="omit floor"):
        compare_reports([("old", old)], [("a", new), ("b", changed(quiet, STEADY))], floor=Between(0, 19))


def test_noise_of_a_file_that_is_not_compared_does_not_matter(quiet: Report) -> None:
    alone = replace(quiet, files=quiet.files[:1], noise=(DRIFT,))
    assert compared(("old", quiet), ("new", alone), 1000, force=True).noise == ()


def test_files_of_one_side_only_and_changed_files_are_named(quiet: Report) -> None:
    first, second, third = quiet.files
    other = replace(second, artifact=replace(second.artifact, sha256="0" * 64))
    old, new = replace(quiet, files=(first, second)), replace(quiet, files=(other, third))
    comparison = compared(("old", old), ("new", new))
    assert [change.name for change in comparison.changes] == ["int8.tflite"]
    assert (comparison.only_old, comparison.only_new) == (("float32.tflite",), ("float32.onnx",))
    text = comparison_text(comparison)
    for part in ("int8.tflite *", "*: the file itself has changed.", "Only in the old results: float32.tflite."):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_random_inputs_are_unlike_images_and_like_each_other(quiet: Report) -> None:
    random = replace(quiet, dataset=None, class_names=(), files=tuple(replace(file, accuracy=None) for file in quiet.files))
    with pytest.raises(ConfigError, match=r"not comparable:.*images: [0-9a-f]{12} and none.*random"):
        compared(("old", quiet), ("new", random))
    assert "Compared anyway" in comparison_text(compared(("old", quiet), ("new", random), force=True))
    alike = compared(("old", random), ("new", random))
    assert {(change.old_correct, change.new_correct) for change in alike.changes} == {(None, None)}
    assert "None" not in comparison_text(alike)


def test_counts_of_different_images_are_shown_with_these_and_the_new_wish_chooses_on_both_sides(quiet: Report) -> None:
    first, *others = quiet.files
    assert first.accuracy
    fewer = replace(first, accuracy=replace(first.accuracy, images=first.accuracy.images - 7, learnt=7))
    wishing = replace(quiet, prefer="size" if quiet.prefer != "size" else "speed")
    found = compared(("old", quiet), ("new", replace(wishing, files=(fewer, *others))))
    (change, *_) = found.changes
    assert (change.old_images, change.new_images) == (first.accuracy.images, first.accuracy.images - 7)
    shown = f"{change.old_correct} of {change.old_images}; {change.new_correct} of {change.new_images}"
    assert shown in comparison_text(found)
    assert f" of {change.old_images}" not in comparison_text(compared(("old", quiet), ("new", quiet)))
    assert found.ship[0] == quiet.choice(wishing.prefer)


def test_a_file_that_several_runtimes_ran_is_compared_with_itself_on_each(quiet: Report) -> None:
    files = [file for file in changed(quiet, STEADY).files if file.name == "int8.tflite"]
    (own,) = files
    (slow,) = (file for file in changed(quiet, SLOWER).files if file.name == "int8.tflite")
    guest = replace(slow, name="int8.tflite openvino", runtime="openvino 2026.4.1")
    one = replace(quiet, files=(own, guest))
    other = replace(quiet, files=(guest, replace(own, runtime="ai-edge-litert 9.0")))
    found = compared(("old", one), ("new", other), 5.0, force=True)
    assert [change.name for change in found.changes] == ["int8.tflite openvino", "int8.tflite ai-edge-litert"]
    assert [change.ratio.estimate for change in found.changes] == [1, 1]
    assert [change.slowdown for change in found.changes] == [PASS, PASS]
    # One runtime alone is compared with the same one, and the other is named.
    alone = compared(("old", one), ("new", replace(quiet, files=(own,))), force=True)
    assert ([change.name for change in alone.changes], alone.only_old) == (
        ["int8.tflite ai-edge-litert"],
        ("int8.tflite openvino",),
    )
