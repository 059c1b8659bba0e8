"""The Python API's documentation names every choice."""

import pytest

import edgecnn as ec
from edgecnn.edge.formats import device_formats


@pytest.mark.parametrize("function", [ec.export, ec.sweep])
def test_every_format_is_named(function: object) -> None:
    text = function.__doc__ or ""
    assert [name for name in device_formats() if f"`{name}`" not in text] == []
