"""Reject a model that became worse, in a build on a dedicated machine.

python3 examples/gate.py artifacts/mnist --max-drop 0.5 --max-p90-ms 5
python3 examples/gate.py artifacts/mnist --before last.json --max-slowdown 10

Measures the exported files of a folder or bundle, and writes result.json and report.html. The exit code is 0 if every file
is within the limits, otherwise edgecnn's: 3 outside the limits, 7 if the machine was too noisy to judge.
"""

import argparse
import sys
from pathlib import Path

import edgecnn as ec


class Lines:
    """Progress as lines of a build's log."""

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def step(self, done: int, total: int, text: str, detail: str = "") -> None:
        """Do nothing: a log has no bar."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Reject a model that became worse.")
    parser.add_argument("models", type=Path, help="a folder with a manifest, or a bundle")
    parser.add_argument("--max-drop", type=float, default=0.5, help="largest drop of accuracy in percentage points")
    parser.add_argument("--max-p90-ms", type=float, help="largest 90th percentile of latency in milliseconds")
    parser.add_argument("--before", type=Path, help="an earlier result.json of this machine")
    parser.add_argument("--max-slowdown", type=float, default=10.0, help="largest slowdown compared with before, in percent")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for result.json and report.html")
    options = parser.parse_args()
    try:
        return gate(options)
    except ec.EdgeCnnError as error:
        print(f"gate: {error}", file=sys.stderr)
        return error.exit_code


def gate(options: argparse.Namespace) -> int:
    """Measure, write the results, and return the exit code."""
    budget = ec.Budget(max_drop_points=options.max_drop, max_p90_ms=options.max_p90_ms)
    report = ec.bench(options.models, budget=budget, runtime=("tflite", "onnx"), progress=Lines())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "result.json").write_text(report.to_json())
    report.to_html(options.out / "report.html")
    print(report.to_text())
    if report.verdict.is_invalid:
        return ec.InvalidMeasurement.exit_code
    if report.verdict.refuses:
        return ec.GateFailed.exit_code
    if options.before is None:
        return 0
    comparison = ec.compare(options.before, report, max_slowdown_percent=options.max_slowdown)
    print(comparison.to_text())
    if comparison.refused:
        return ec.InvalidMeasurement.exit_code
    return ec.GateFailed.exit_code if comparison.slower else 0


if __name__ == "__main__":
    sys.exit(main())
