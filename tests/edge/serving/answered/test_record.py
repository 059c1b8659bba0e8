"""The record of answers has a bounded size, and survives restarts, power cuts, damage and clocks that jump."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.edge.files import sha256, write_bytes
from edgecnn.edge.serving.answered.counts import FileCounts, Period
from edgecnn.edge.serving.answered.record import (
    DAY,
    DAYS_NAME,
    EARLIEST,
    HOUR,
    HOURS_NAME,
    NOW_NAME,
    Past,
)

START = EARLIEST + 200 * DAY
NAMES = (NOW_NAME, HOURS_NAME, DAYS_NAME)


def minute(start: int, pictures: int = 1) -> Period:
    bins = {str(number): 1 for number in range(10)}
    counts = {f"{file:016x}": FileCounts({str(label): pictures for label in range(10)}, bins, pictures, 0) for file in range(4)}
    return Period(start, {"200": pictures, "503": 1}, pictures, {str(place): 1 for place in range(30, 50)}, counts)


def save(past: Past, folder: Path) -> list[str]:
    """Write what is to be written, as the server does, and return the names."""
    files = past.unsaved()
    for name, data in files:
        write_bytes(folder / name, data)
    past.saved()
    return [name for name, _ in files]


def hashed(data: bytes) -> bytes:
    return f"{sha256(data)}\n".encode() + data


def fail(text: str) -> None:
    raise AssertionError(text)


def total(past: Past) -> int:
    return sum(day.pictures for day in past.days)


def test_what_was_counted_goes_on_after_a_restart_at_any_minute(tmp_path: Path) -> None:
    past, added = Past(), 0
    for number in range(0, 3 * DAY // 60, 29):  # Every 29th minute of three days, with a restart after each.
        past.add(minute(START + 60 * number, number % 3 + 1))
        added += number % 3 + 1
        save(past, tmp_path)
        again = Past.load(tmp_path, fail)
        assert (again.minutes, again.hours, again.days) == (past.minutes, past.hours, past.days)
        assert (again.since, total(again)) == (START, added)
        past = again
    assert sum(hour.pictures for hour in past.hours) == total(past)
    assert len(past.days) == 3
    assert len(past.hours) == 72


def test_years_of_traffic_take_a_bounded_space_and_keep_60_minutes_72_hours_and_400_days(tmp_path: Path) -> None:
    past, sizes = Past(), []
    for number in range(900):
        for place in range(70 if number == 899 else 2):
            past.add(minute(START + DAY * number + 60 * place))
        if number in (450, 899):
            save(past, tmp_path)
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert (len(past.minutes), len(past.hours), len(past.days)) == (60, 72, 400)
    assert sizes[1] < 1.2 * sizes[0]
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)


def test_a_minute_writes_one_file_and_an_hour_that_ends_another(tmp_path: Path) -> None:
    past = Past()
    for number in range(120):
        past.add(minute(START + 60 * number))
        assert save(past, tmp_path) == ([HOURS_NAME, NOW_NAME] if number == 60 else [NOW_NAME])
    past.add(minute(START + DAY))
    assert save(past, tmp_path) == [HOURS_NAME, DAYS_NAME, NOW_NAME]


def test_the_file_of_each_minute_stays_small_on_a_busy_server(tmp_path: Path) -> None:
    past = Past()
    for number in range(5000):
        past.add(minute(START + 60 * number, 10_000))
    save(past, tmp_path)
    assert (tmp_path / NOW_NAME).stat().st_size < 64 * 1024


def test_a_kill_between_two_files_loses_at_most_the_minute_that_was_not_written(tmp_path: Path) -> None:
    past = Past()
    for number in range(200):
        past.add(minute(START + 60 * number))
        files = past.unsaved()
        before = total(Past.load(tmp_path, fail))
        for written in range(len(files)):
            name, data = files[written]
            write_bytes(tmp_path / name, data)
            again = Past.load(tmp_path, fail)
            assert sum(hour.pictures for hour in again.hours) == total(again)
            assert total(again) in (before, before + 1)
            assert total(again) == number + 1 or written < len(files) - 1
        past.saved()


WRITER = """
import sys
from pathlib import Path
from tests.edge.serving.answered.test_record import START, Past, minute, save
past, folder = Past(), Path(sys.argv[1])
for number in range(100_000):
    past.add(minute(START + 60 * number))
    save(past, folder)
    print(number + 1, flush=True)
"""


def test_a_kill_at_any_instant_leaves_a_record_that_lacks_at_most_one_minute(tmp_path: Path) -> None:
    for wanted in (1, 3, 59, 61, 130):
        folder = tmp_path / str(wanted)
        folder.mkdir()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", WRITER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout
            written = next(int(line) for line in process.stdout if int(line) >= wanted)
            os.kill(process.pid, signal.SIGKILL)
            written = max([written, *map(int, process.stdout.read().split())])
        assert total(Past.load(folder, fail)) in (written, written + 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "noise", "other schema", "no object"])
def test_a_file_that_was_damaged_is_said_and_the_others_are_kept(name: str, damage: str, tmp_path: Path) -> None:
    past = Past()
    for number in range(3000):
        past.add(minute(START + 60 * number))
    save(past, tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    digit = data.rindex(b'"pictures":') + 11
    changed = {
        "empty": b"",
        "cut": data[: len(data) // 2],
        "bit": data[:digit] + bytes([data[digit] ^ 1]) + data[digit + 1 :],
        "noise": os.urandom(1000),
        "other schema": hashed(data.partition(b"\n")[2].replace(b'"schema":1', b'"schema":9')),
        "no object": hashed(b"[" * 100_000),
    }
    path.write_bytes(changed[damage])
    said: list[str] = []
    again = Past.load(tmp_path, said.append)
    assert len(said) == 1
    assert str(path) in said[0]
    assert "\n" not in said[0]
    assert bool(again.minutes) == (name != NOW_NAME)
    assert len(again.hours) == {NOW_NAME: len(past.hours) - 1, HOURS_NAME: 1, DAYS_NAME: len(past.hours)}[name]
    assert len(again.days) == {NOW_NAME: len(past.days) - 1, HOURS_NAME: len(past.days), DAYS_NAME: 1}[name]
    again.add(minute(START + 60 * 3000))
    save(again, tmp_path)
    Past.load(tmp_path, fail)


def test_a_board_that_starts_in_1970_goes_on_at_the_last_time_that_it_knew(tmp_path: Path) -> None:
    past = Past()
    past.add(minute(past.time(START)))
    save(past, tmp_path)
    again = Past.load(tmp_path, fail)
    for seconds in (30, 90, 150):  # Until it has found the time in a network.
        again.add(minute(again.time(seconds)))
    again.add(minute(again.time(START + 300)))
    assert [day.start for day in again.days] == [START // DAY * DAY]
    assert [period.start for period in again.minutes] == [START, START, START, START, START + 300]
    assert (total(again), again.since) == (5, START)
    assert Past().time(30) == EARLIEST


def test_a_clock_that_was_ahead_for_a_while_pushes_nothing_out() -> None:
    past = Past()
    for day in range(10):
        past.add(minute(START + DAY * day))
    past.add(minute(START + 80 * 365 * DAY))  # 80 years ahead,
    for day in range(10, 20):  # and right again.
        past.add(minute(START + DAY * day))
    assert total(past) == 21
    assert len(past.days) == 21


def test_a_clock_that_jumps_back_and_forth_adds_to_the_hours_that_there_are(tmp_path: Path) -> None:
    past = Past()
    for number in range(100):
        past.add(minute(START + HOUR * (number % 2)))
        save(past, tmp_path)
    assert [hour.pictures for hour in past.hours] == [50, 50]
    again = Past.load(tmp_path, fail)
    assert [hour.pictures for hour in again.hours] == [50, 50]


def test_the_files_begin_with_the_hash_of_the_json_that_follows(tmp_path: Path) -> None:
    past = Past()
    past.add(minute(START))
    save(past, tmp_path)
    _, data = (tmp_path / NOW_NAME).read_bytes().split(b"\n")
    assert json.loads(data)["since"] == START
