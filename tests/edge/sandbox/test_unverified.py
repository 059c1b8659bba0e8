"""What is remembered of files that were tried, where a service's user has no home folder."""

import pwd

import pytest

from edgecnn.edge.sandbox.unverified import remember_tried, was_tried


def test_a_user_without_a_home_folder_has_a_file_tried_once_in_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert not was_tried(b"model", "litert")
    remember_tried(b"model", "litert")
    assert was_tried(b"model", "litert")
    assert not was_tried(b"other", "litert")
