"""What a report says first, how wide it is, and that it has one p50."""

import csv
import io
from dataclasses import replace

import pytest

from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.latency_summary import p50_ns, summarize, typical_ns
from edgecnn.benchmarks.results.pareto import pareto_points
from edgecnn.benchmarks.results.records import Report, Round
from edgecnn.benchmarks.show.html import to_html
from edgecnn.benchmarks.show.remarks import recommend
from edgecnn.benchmarks.show.report import to_csv, to_markdown, to_text
from edgecnn.benchmarks.show.tables import figure
from edgecnn.benchmarks.timing.times import Times
from edgecnn.edge.export_records import Interval, Mended

BUSY = Noise("load", None, "other processes used 1.20 cores while files were timed: stop them")


def row(text: str, name: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


def test_a_pick_has_the_reservation_that_the_page_has(quiet: Report) -> None:
    noisy = replace(quiet, noise=(BUSY,))
    picks = recommend(noisy, pareto_points(noisy))
    first = " ".join(to_text(noisy).split("\n\n")[0].split())
    for pick in picks:
        assert pick.notes
        assert all(note in first for note in pick.notes)
    assert "unstable" not in " ".join(to_text(quiet).split("\n\n")[0].split())


def test_at_80_columns_nothing_is_wider_and_the_columns_that_matter_stay(quiet: Report) -> None:
    text = to_text(quiet, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "(too narrow for: confid. moved" in text
    table = text[text.index("Accuracy compared") :].splitlines()
    assert table[2].split()[:2] == ["file", "gate"]
    assert "(too narrow for" not in to_text(quiet, width=120)


def test_of_many_reasons_for_unstable_times_the_first_are_given_and_all_when_asked(quiet: Report) -> None:
    noise = tuple(replace(BUSY, text=f"reason {number}") for number in range(9))
    found = replace(quiet, noise=noise)
    assert "4 (load)\n  and 4 more" in to_text(found)
    for text in (to_text(found, verbose=True), to_markdown(found)):
        assert "reason 8 (load)" in text


def test_there_is_one_p50_in_text_csv_json_page_and_pick(quiet: Report) -> None:
    # Rounds of unlike medians: their geometric mean is another figure than the median of all runs.
    def with_slow(rounds: tuple[Round, ...]) -> tuple[Round, ...]:
        times = (*([10_000] * (len(rounds) - 1)), 400_000)
        return tuple(replace(item, measured=Times.pack([time] * 9)) for item, time in zip(rounds, times, strict=True))

    files = tuple(
        replace(
            file,
            launches=tuple(replace(launch, rounds=with_slow(launch.rounds)) for launch in file.launches),
        )
        for file in quiet.files
    )
    files = tuple(replace(file, latency=summarize(file.launches, (50, 90), file.images_per_run)) for file in files)
    report = replace(quiet, files=files)
    page = to_html(report, None)
    for file, line in zip(report.files, csv.DictReader(io.StringIO(to_csv(report))), strict=True):
        p50 = file.latency.percentiles[0].value_ns
        assert p50 is not None
        assert p50 == int(line["p50_ns"]) == p50_ns(file.launches)
        assert p50 != pytest.approx(typical_ns(file.launches), rel=0.2)
        assert row(to_text(report), file.name)[2] == figure(p50 / 1e3)
    for pick in recommend(report, pareto_points(report)):
        assert pick.p50_us[0] == p50_ns(pick.file.launches) / 1e3
        assert f"{pick.p50_us[0]:,.1f} µs" in page


def test_what_the_figures_of_accuracy_rest_on_is_told(quiet: Report) -> None:
    first, *others = quiet.files
    assert first.accuracy
    mended = Mended(("conv",), "float32", 0.5, 7, 1000, 1.1, held_out=0)
    chosen = replace(first, artifact=replace(first.artifact, mended=mended), accuracy=replace(first.accuracy, groups=5))
    text = " ".join(to_text(replace(quiet, files=(chosen, *others))).split())
    assert "images come in 5 groups" in text
    assert all(part in text for part in (f"{first.name} was chosen among 7", "on these very images"))
    held = replace(chosen, artifact=replace(first.artifact, mended=replace(mended, held_out=30)))
    assert "on these very images" not in to_text(replace(quiet, files=(held, *others)))


def test_files_that_the_same_number_of_images_judges_are_one_line(quiet: Report) -> None:
    accuracy = quiet.files[0].accuracy
    assert accuracy
    files = [replace(file, accuracy=replace(accuracy, chose=7)) for file in quiet.files]
    assert len(files) > 1
    names = ", ".join(file.name for file in files)
    text = " ".join(to_text(replace(quiet, files=tuple(files))).split())
    assert all(part in text for part in (f"{names} are judged on {accuracy.images}", "the other 7 chose"))
    assert text.count("judged on") == 1


@pytest.mark.parametrize(("low", "high", "told"), [(-0.69, -0.66, True), (-0.69, -0.004, False), (0.66, 0.69, False)])
def test_a_file_that_is_shown_to_be_much_better_than_its_reference_is_told(
    quiet: Report, low: float, high: float, told: bool
) -> None:
    first, *others = quiet.files
    assert first.accuracy
    better = replace(first, accuracy=replace(first.accuracy, drop=Interval((low + high) / 2, low, high)))
    report = replace(quiet, files=(better, *others))
    line = f"{first.name} is right on {-100 * high:.2f} to {-100 * low:.2f} % more of the images than {quiet.reference}: "
    assert (line in " ".join(to_text(report).split())) == told
    assert ("more of the images than" in to_text(report)) == told


def test_files_that_are_right_as_often_are_called_as_accurate(quiet: Report) -> None:
    first, *others = quiet.files
    alike = replace(quiet, files=(first, *(replace(other, accuracy=first.accuracy) for other in others)))
    accurate = recommend(alike, pareto_points(alike))[0]
    names = ", ".join(file.name for file in quiet.files if file.name != accurate.file.name)
    assert accurate.notes == (f"As accurate: {names}.",)
