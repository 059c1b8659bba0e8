"""Which runtimes a board gets."""

import pytest

from edgecnn.benchmarks.emulator.userland import SYSTEMS, System
from edgecnn.edge.formats import FORMATS, RUNTIMES
from tools.pi.wheels import device_runtimes, extras_of, lacking, runtimes_on

NEW, OLD, SMALL = (SYSTEMS[name] for name in ("trixie-arm64", "bookworm-arm64", "bookworm-armhf"))


@pytest.mark.parametrize(("system", "reason"), [(NEW, "no package for Python 3.13"), (OLD, "has ended")], ids=["3.13", "3.11"])
def test_an_ended_runtime_is_on_no_64_bit_board_and_the_reason_is_told(system: System, reason: str) -> None:
    row = RUNTIMES["tflite-runtime"]
    assert reason in (lacking(row, system) or "")
    assert row not in runtimes_on(system)


def test_a_32_bit_board_has_the_one_runtime_that_has_a_package_for_it() -> None:
    assert [row.name for row in runtimes_on(SMALL)] == ["tflite-runtime"]
    assert extras_of(SMALL, runtimes_on(SMALL)) == ["tflite-runtime", "image", "serve"]


@pytest.mark.parametrize("system", [NEW, OLD], ids=["3.13", "3.11"])
def test_a_64_bit_board_has_every_other_runtime_of_a_device(system: System) -> None:
    assert set(runtimes_on(system)) == {row for row in device_runtimes() if not row.ended}
    assert {name for row in runtimes_on(system) for name in row.formats} == {
        row.name for row in FORMATS.values() if row.on_device and not row.apart
    }
    assert RUNTIMES["mnn"] in runtimes_on(system)
    assert RUNTIMES["executorch"] not in runtimes_on(system)  # PyTorch brings gigabytes of CUDA there.


def test_a_runtime_that_must_be_named_is_installed_only_if_it_is_wanted() -> None:
    assert RUNTIMES["openvino"] in runtimes_on(NEW)
    assert RUNTIMES["openvino"] not in runtimes_on(NEW, named=False)
    assert "openvino" in extras_of(NEW, runtimes_on(NEW))
    assert "openvino" not in extras_of(NEW, runtimes_on(NEW, named=False))
