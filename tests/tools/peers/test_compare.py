"""From launches to figures, and behaviour without files or packages."""

from pathlib import Path

import numpy as np
import pytest

from tools.peers import compare
from tools.peers.launches import Built, Child, Failed, Launch, death
from tools.peers.lineup import ENTRIES


def launch(median_ns: int, start_ms: int = 200) -> Launch:
    return Launch(start_ms * 10**6, 5 * 10**6, 10**6, [median_ns - 1, median_ns, 10 * median_ns], 50 * 2**20)


def test_a_folder_without_exported_files_ends_in_one_line_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        compare.main([str(tmp_path)])
    assert ended.value.code == f"peers: {tmp_path} has no int8.tflite: run make demo"


def test_a_ratio_is_taken_round_by_round_so_that_a_slow_round_troubles_both_alike() -> None:
    ours, other = ENTRIES[0], ENTRIES[4]
    launches = {
        (ours, 1): [launch(100), launch(100), launch(300)],
        (other, 1): [launch(150), launch(150), launch(450)],
        (other, 2): [launch(200)],
    }
    one, two = compare.summarise(launches)[other]
    assert (one.threads, one.launches, one.runs, one.ratio) == (1, 3, 9, 1.5)
    assert (two.threads, two.ratio) == (2, None)  # Ours was not measured with two.


def test_cold_start_and_memory_are_medians_over_the_launches() -> None:
    launches = {(ENTRIES[0], 1): [launch(100, 210), launch(100, 200), launch(100, 999)]}
    (figures,) = compare.summarise(launches)[ENTRIES[0]]
    assert (figures.start_ns, figures.import_ns, figures.peak_memory_bytes) == (210e6, 5e6, 50 * 2**20)


def test_a_missing_package_is_told_with_what_pip_said_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = tmp_path / "reasons.json"
    reasons.write_text('{"no-such-peer": "No matching distribution found"}')
    monkeypatch.setattr(compare, "NOT_INSTALLED", reasons)
    told = compare._not_installed(("numpy", "no-such-peer"))
    assert told == "no-such-peer is not installed: No matching distribution found"
    assert compare._not_installed(("numpy",)) is None


def test_a_file_that_a_runtime_refuses_fails_with_the_runtimes_words(tmp_path: Path) -> None:
    file, inputs = tmp_path / "int8.tflite", tmp_path / "inputs.npy"
    file.write_bytes(b"no model")
    with pytest.raises(Failed, match=r"FileNotFoundError: .*inputs\.npy"):
        Child(Built(ENTRIES[0], file, 8, inputs), 1)
    np.save(inputs, np.zeros((1, 28, 28, 1), np.int8))
    with pytest.raises(Failed, match="can't load the TFLite model"):
        Child(Built(ENTRIES[0], file, 8, inputs), 1)


def test_a_crash_is_named_by_its_signal_and_an_exit_by_its_code_and_last_line() -> None:
    assert death(-11, "") == "crashed (SIGSEGV): it printed nothing"
    assert death(1, "Traceback\n  line\nValueError: no such layer\n\n") == "ended with code 1: ValueError: no such layer"
