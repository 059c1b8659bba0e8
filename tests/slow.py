"""Which tests `make quick` leaves out, and why: by the beginnings of their names below tests/."""

_TENSORFLOW = "trains or converts with TensorFlow"
_REAL = "measures real files in processes of their own"
SIMULATES = "simulates thousands of benchmarks or test sets"
_DAMAGED = "opens thousands of damaged files"
_COMMANDS = "runs whole commands"

SLOW = {
    "api/test_consumer": _TENSORFLOW,
    "api/test_fit": _TENSORFLOW,
    "api/test_learnt_images": _TENSORFLOW,
    "api/test_results": _COMMANDS,
    "api/test_rungs": _TENSORFLOW,
    "api/test_sweep": _TENSORFLOW,
    "benchmarks/bundle/test_golden": _REAL,
    "benchmarks/compare/test_selftest": _REAL,
    "benchmarks/doctor/test_examine": "imports every runtime in processes of its own",
    "benchmarks/gate/test_brier": SIMULATES,
    "benchmarks/gate/test_class_changes": SIMULATES,
    "benchmarks/gate/test_groups.py::test_each_end": SIMULATES,
    "benchmarks/gate/test_worthless.py::test_the_limit_of_each_class": SIMULATES,
    "benchmarks/measure/launches": _REAL,
    "benchmarks/measure/test_evaluation": _REAL,
    "benchmarks/measure/test_candidates": _REAL,
    "benchmarks/measure/test_planning.py::test_the_chosen_plan": SIMULATES,
    "benchmarks/measure/test_run": _REAL,
    "benchmarks/measure/test_until_width": SIMULATES,
    "benchmarks/remote": "runs a stand-in for ssh",
    "benchmarks/results/test_between": SIMULATES,
    "benchmarks/results/test_choice.py::test_of_20_benchmarks": SIMULATES,
    "benchmarks/results/test_latency_summary.py::test_of_equally_fast": SIMULATES,
    "benchmarks/results/test_records": _REAL,
    "benchmarks/runners": _REAL,
    "benchmarks/show/test_html_figures": "draws figures",
    "benchmarks/statistics": SIMULATES,
    "benchmarks/timing": _REAL,
    "cli/commands": _COMMANDS,
    "cli/test_command_line": _COMMANDS,
    "cli/test_completion": "starts shells",
    "cli/test_devices": "runs a stand-in for ssh",
    "cli/test_endless_code": _COMMANDS,
    "cli/test_imports": _COMMANDS,
    "cli/test_leaving": _COMMANDS,
    "convert": _TENSORFLOW,
    "edge/compatibility/test_onnx_wire": _DAMAGED,
    "edge/inference/test_classifier_foreign": "runs ONNX files of every layout",
    "edge/runtimes": "runs every runtime",
    "edge/serving": "starts servers and browsers",
    "edge/test_imports": "starts interpreters",
    "end_to_end": "runs whole chains",
    "examples": _COMMANDS,
    "project/test_edits": _COMMANDS,
    "project/test_release": "builds a wheel",
    "project/test_site": "starts a browser",
    "project/test_wheel": "builds a wheel",
    "test_bounds": _DAMAGED,
    "test_hostile_text": _COMMANDS,
    "test_parsers": _DAMAGED,
    "test_state": _TENSORFLOW,
    "test_unverified": _TENSORFLOW,
    "tools": "emulates boards, alters files or trains",
}


def reason(name: str) -> str | None:
    """Return why a test is slow; None if it is not.

    Args:
        name: Its name below tests/, for example `edge/test_text.py::test_one`.
    """
    return next((why for start, why in SLOW.items() if name.startswith(start)), None)
