"""`make benchmark`: what becomes of each part, and the networks that it takes from a page of the docs."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.claims import __main__ as claims
from tools.claims.claims import Claim, at_least, at_most, to_text
from tools.claims.sweeps.networks import networks_of_the_page


@pytest.mark.parametrize(("value", "most", "least"), [(0.9, True, False), (1.0, True, True), (1.1, False, True)])
def test_a_limit_is_met_up_to_itself(value: float, most: bool, least: bool) -> None:
    assert at_most("share", value, 1, "").met == most
    assert at_least("share", value, 1, "").met == least
    assert [line.split()[-1] for line in to_text([at_most("share", value, 1, "here")]).splitlines()[1:]] == [
        "met" if most else "MISSED",
        "here",
    ]


def test_a_part_that_fails_is_named_at_the_end_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(folder: Path) -> list[Claim]:
        raise ValueError("no such photo")

    parts: dict[str, Callable[[Path], list[Claim]]] = {"input": broken, "speed": lambda folder: [at_most("share", 0.5, 1, "")]}
    monkeypatch.setattr(claims, "_PARTS", parts)
    monkeypatch.setattr(claims, "_KEPT", tmp_path / "benchmark.json")
    with pytest.raises(SystemExit, match="input") as ended:
        claims.main([])
    assert "speed" not in str(ended.value)
    kept = json.loads((tmp_path / "benchmark.json").read_text())
    assert [claim["value"] for claim in kept.pop("speed")["claims"]] == [0.5]
    assert not kept
    said = capsys.readouterr()
    assert "no such photo" in said.err
    assert said.out.startswith("speed, ")


def test_a_missing_program_is_reported_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_measured", lambda name: pytest.fail(f"{name} was measured"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="wrk"):
        claims.main(["speed", "serve"])


def test_the_networks_of_the_page_have_the_promised_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets_of_the_page.py").write_text(networks_of_the_page())
    monkeypatch.syspath_prepend(tmp_path)
    nets = importlib.import_module("nets_of_the_page")
    assert [make((28, 28, 1), 10).count_params() for make in (nets.tiny, nets.narrow, nets.deep)] == [997, 1990, 8594]
