"""What this machine's CPU computes otherwise than others."""

import platform
from pathlib import Path

import pytest

INT8_ONNX_SATURATES = platform.machine() == "x86_64" and "vnni" not in Path("/proc/cpuinfo").read_text()
"""Whether ONNX Runtime clips sums of two int8 products to 16 bits here, as on x86-64 without VNNI."""
SATURATION = "ONNX Runtime's int8 kernels saturate on this CPU, which has no VNNI: int8.onnx computes something else"

exact_int8_onnx = pytest.mark.skipif(INT8_ONNX_SATURATES, reason=SATURATION)
