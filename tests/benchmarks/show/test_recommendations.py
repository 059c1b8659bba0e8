"""The file to ship: named where one passed, and never where none did."""

from dataclasses import replace

from edgecnn.benchmarks.gate.gate import UNJUDGED, Verdict
from edgecnn.benchmarks.machine.noise import Noise
from edgecnn.benchmarks.results.pareto import pareto_points
from edgecnn.benchmarks.results.records import FileResult
from edgecnn.benchmarks.show.recommendations import advice, recommend
from tests.benchmarks.show.pages import accuracy, file_result, report


def said(*files: FileResult) -> str:
    made = report(*files)
    return advice(made, recommend(made, pareto_points(made)))


def test_a_file_that_failed_is_never_advised() -> None:
    assert said(file_result("int8.tflite", "FAIL")).startswith("No file is recommended")
    assert said(file_result("int8.tflite", "FAIL"), file_result("b.tflite", microseconds=90)).startswith("Ship b.tflite: ")


def test_a_file_that_is_undecided_or_has_no_limit_is_a_candidate_and_not_shipped() -> None:
    unlimited = replace(file_result("int8.tflite"), verdict=Verdict(UNJUDGED, ()))
    for file in (file_result("int8.tflite", "UNDECIDED"), unlimited):
        assert said(file).startswith("The best candidate is int8.tflite (97.50 % right")


def test_the_balanced_file_is_advised_with_its_figures() -> None:
    slow = file_result("float32.tflite", microseconds=500, of=accuracy(flips=4))
    text = said(slow, file_result("int8.tflite", microseconds=50, of=accuracy(flips=4)))
    assert text.startswith("Ship int8.tflite: 97.50 % right, p50 5")
    assert text.endswith("39.1 KiB.")


def test_a_tuned_file_is_advised_with_the_number_of_images_that_judge_it() -> None:
    tuned = replace(accuracy(flips=4), chose=150)
    assert said(file_result("tuned.tflite", of=tuned)).startswith("Ship tuned.tflite: 97.50 % of 200 held-out images right")


def test_of_many_files_that_are_as_accurate_five_are_named() -> None:
    made = report(*(file_result(f"{name}.tflite", microseconds=50 + 10 * place) for place, name in enumerate("abcdefgh")))
    accurate = recommend(made, pareto_points(made))[0]
    assert accurate.notes == ("As accurate: b.tflite, c.tflite, d.tflite, e.tflite, f.tflite and 2 more.",)


def test_files_that_other_images_judge_are_not_called_as_accurate() -> None:
    tuned = replace(accuracy(flips=0), chose=150)
    made = report(file_result("int8.tflite", of=accuracy(flips=0)), file_result("tuned.tflite", microseconds=60, of=tuned))
    accurate = recommend(made, pareto_points(made))[0]
    assert accurate.notes == ("These images don't show it to be more accurate than tuned.tflite.",)


def test_an_unstable_time_is_called_so() -> None:
    made = report(file_result("int8.tflite"), noise=(Noise("load", None, "others were busy"),))
    assert " µs (unstable), " in advice(made, recommend(made, pareto_points(made)))


def test_without_accuracy_no_file_is_advised() -> None:
    made = replace(report(replace(file_result("int8.tflite"), accuracy=None)), dataset=None)
    assert advice(made, recommend(made, pareto_points(made))).startswith("No file is recommended: accuracy")
