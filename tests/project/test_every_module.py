"""Every module has a test file of its name in the mirrored folder, or is listed here with its tests."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge", "convert", "benchmarks", "edgecnn")

# For a file or folder of tests, the modules without a test file of their name.
ELSEWHERE = {
    "api/test_consumer.py": ("edgecnn/workflows/export", "edgecnn/workflows/train"),
    "api/test_names.py": ("edgecnn/__init__",),
    "api/test_results.py": (
        "edge/progress", "edge/result",
        "edgecnn/workflows/bench", "edgecnn/workflows/usage",
    ),
    "convert/diagnosis/test_diagnose_ncnn.py": ("convert/diagnosis/ncnn",),
    "convert/programs/test_programs.py": ("convert/programs/__init__",),
    "convert/mnn/test_converter.py": ("convert/mnn/convert", "convert/mnn/quantize"),
    "convert/executorch/test_converter.py": ("convert/executorch/lower",),
    "convert/programs/test_tflite_micro.py": ("convert/programs/micro_readme", "convert/programs/micro_records"),
    "convert/ncnn/test_converter.py": (
        "convert/ncnn/convert", "convert/ncnn/quantize", "convert/onnx/channels_first", "convert/onnx/pnnx",
    ),
    "edge/serving/test_app.py": (
        "edge/serving/answers", "edge/serving/body", "edge/serving/metrics", "edge/serving/models",
    ),
    "edge/serving/test_camera.py": ("edge/serving/camera_sources",),
    "edge/serving/test_serve.py": ("edgecnn/commands/serve", "edge/serving/options"),
    "edge/serving/test_uvicorn_server.py": ("edge/serving/logs",),
    "edge/runtimes/test_ncnn.py": ("edge/runtimes/ncnn_file",),
    "edge/test_formats.py": (
        "edge/formats/__init__", "edge/formats/format", "edge/formats/package", "edge/formats/precision",
        "edge/formats/runtime",
    ),
    "benchmarks/compare/test_compare.py": ("benchmarks/compare/comparable", "benchmarks/compare/text"),
    "benchmarks/doctor/test_examine.py": (
        "benchmarks/doctor/findings", "benchmarks/doctor/machine_findings", "benchmarks/doctor/trials",
    ),
    "benchmarks/doctor/test_examine_files.py": ("benchmarks/doctor/file_findings",),
    "benchmarks/judge/test_accuracy.py": ("benchmarks/judge/tally",),
    "benchmarks/judge/test_gate.py": ("benchmarks/judge/accuracy_checks",),
    "benchmarks/machine/test_host.py": ("benchmarks/machine/host_text",),
    "benchmarks/machine/test_noise.py": ("benchmarks/machine/noise_names",),
    "benchmarks/measure/test_lineup.py": ("benchmarks/measure/bare_files", "benchmarks/measure/options"),
    "benchmarks/measure/test_run.py": ("benchmarks/measure/other_measurements",),
    "benchmarks/measure/test_launches.py": ("benchmarks/results/launch_noise",),
    "benchmarks/proof/test_golden.py": ("benchmarks/proof/write_bundle",),
    "benchmarks/remote/test_remote.py": ("benchmarks/remote/agent",),
    "benchmarks/results/test_read.py": ("benchmarks/results/devices",),
    "benchmarks/report/test_html.py": (
        "benchmarks/report/mistakes", "benchmarks/report/plots", "benchmarks/report/svg",
    ),
    "benchmarks/report/test_text.py": ("benchmarks/report/markdown", "benchmarks/report/tables"),
    "benchmarks/yardsticks/test_here.py": ("benchmarks/yardsticks/launches",),
    "convert/export/tuning/test_tune.py": ("convert/export/tuning/figure", "convert/export/tuning/yardstick"),
    "tools/pi/test_counting.py": (
        "benchmarks/emulator/count_files", "benchmarks/emulator/counting", "benchmarks/emulator/debian",
        "benchmarks/emulator/marks", "benchmarks/emulator/packages", "benchmarks/emulator/userland",
    ),
    "benchmarks/timing/test_process.py": (
        "benchmarks/timing/pipes", "benchmarks/timing/requests",
    ),
    "benchmarks/timing/test_profile.py": ("benchmarks/timing/profile_onnxruntime",),
    "cli/commands/test_bundles.py": ("edgecnn/commands/bundle", "edgecnn/commands/verify"),
    "cli/test_command_line.py": (
        "edgecnn/__main__", "edgecnn/shell/main", "edgecnn/shell/call",
        "edgecnn/commands/bench", "edgecnn/commands/doctor", "edgecnn/commands/evaluate", "edgecnn/commands/export",
        "edgecnn/commands/compare", "edgecnn/commands/report", "edgecnn/commands/selftest", "edgecnn/commands/shared",
    ),
    "cli/commands/test_own_files.py": ("edgecnn/commands/data", "edgecnn/commands/diagnose"),
    "cli/test_plain_commands.py": (
        "edge/options/option", "edgecnn/shell/settings", "edgecnn/shell/typer_command",
    ),
    "cli/commands/test_train_options.py": ("edgecnn/commands/train",),
    "cli/commands/test_predict.py": ("edgecnn/commands/predict",),
    "cli/commands/test_summary.py": ("edgecnn/commands/summary",),
    "cli/test_console.py": ("edgecnn/shell/console",),
    "cli/test_progress.py": ("edgecnn/shell/progress",),
    "cli/test_terminal.py": ("edgecnn/shell/terminal",),
    "benchmarks/judge/test_budgets.py": ("benchmarks/judge/budget",),
    "cli/commands/test_remedies.py": ("edge/folder/other_formats",),
    "cli/commands/test_sweep.py": (
        "benchmarks/report/sweep", "benchmarks/report/sweep_plot", "benchmarks/report/sweep_text",
        "edgecnn/workflows/sweep", "edgecnn/commands/sweep",
    ),
    "cli/commands/test_sweep_chosen.py": ("edgecnn/workflows/networks",),
    "api/test_rungs.py": ("edgecnn/workflows/rungs",),
    "convert/anatomy/test_summary.py": (
        "convert/keras/summary", "edge/anatomy/onnx", "edge/anatomy/summary", "edge/anatomy/tflite",
    ),
    "convert/diagnosis/test_diagnose.py": (
        "convert/diagnosis/figure", "convert/diagnosis/onnx", "convert/diagnosis/pair", "convert/diagnosis/text",
        "convert/diagnosis/tflite",
    ),
    "convert/export/test_calibration.py": ("convert/export/activation_ranges",),
    "convert/export/test_export.py": (
        "convert/export/config", "convert/export/converters", "convert/export/export_job", "convert/export/file_exporter",
        "convert/onnx/converter",
        "convert/tflite/converter",
    ),
    "convert/keras/test_runtime.py": ("convert/keras/trust",),
    "convert/training/distributed/test_worker.py": (
        "convert/training/distributed/cluster_worker", "convert/training/distributed/meeting",
        "convert/training/distributed/requirements", "convert/training/distributed/shared_step",
        "convert/training/distributed/strategy",
    ),
    "convert/training/test_train.py": (
        "convert/keras/manifest", "convert/training/checkpoint", "convert/training/config",
        "convert/training/fit/epoch_callback", "convert/training/prepared_model",
        "convert/training/records", "convert/training/trained_model", "convert/training/training_run", "edge/provenance",
    ),
    "edge/compatibility/test_releases.py": ("edge/compatibility/tflite_releases",),
    "edge/compatibility/test_requirements.py": (
        "edge/compatibility/flatbuffer", "edge/compatibility/onnx", "edge/compatibility/tflite",
        "edge/compatibility/tflite_operators",
    ),
    "convert/export/tuning/test_settings.py": ("convert/export/tuning/measured_folder",),
    "edge/data/test_dataset.py": ("edge/data/folder_options", "edge/inference/recorded_source"),
    "convert/training/test_validation.py": ("convert/training/class_weights",),
    "edge/data/test_inspection.py": ("edge/data/inspection_text", "edge/data/seen_pictures"),
    "edge/data/test_npz.py": ("edge/data/npy",),
    "edge/folder/test_model_folder.py": ("edge/folder/file_names",),
    "edge/inference/test_classifier_foreign.py": ("edge/inference/model_interface",),
    "edge/inference/test_predictions.py": ("edge/inference/prediction_figure",),
    "edge/runtimes/test_runtimes.py": (
        "edge/runtimes/__init__", "edge/runtimes/litert",
        "edge/runtimes/onnx_file", "edge/runtimes/tflite_interpreter",
        "edge/runtimes/tflite_runtime",
    ),
    "end_to_end/test_devices.py": ("edgecnn/workflows/devices",),
    "edge/test_manifest.py": ("edge/export_records",),
    "test_parsers.py": ("edge/parsing",),
    "test_unverified.py": ("edge/isolation/tried",),
}  # fmt: skip


def modules() -> set[str]:
    """Return every module with code, for example edge/data/npy."""
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            # edgecnn/edge is a link to edge/.
            inside = path.relative_to(ROOT)
            if any(part.is_symlink() for part in list(path.parents)[: len(inside.parts)]):
                continue
            code = [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)]
            if code:
                found.add(str(inside.with_suffix("")))
    return found


def file_of(module: str) -> Path:
    """Return the path that a module's own test file has or would have."""
    place = Path(module.removeprefix("edgecnn/"))
    return ROOT / "tests" / place.with_name(f"test_{place.name}.py")


def test_every_module_has_a_test_file_or_says_where_it_is_tested() -> None:
    told = {module for listed in ELSEWHERE.values() for module in listed}
    assert {module for module in modules() if not file_of(module).exists()} == told


def test_where_a_module_is_said_to_be_tested_there_are_tests() -> None:
    assert [place for place in ELSEWHERE if not (ROOT / "tests" / place).exists()] == []


def test_no_module_is_listed_twice() -> None:
    listed = [module for some in ELSEWHERE.values() for module in some]
    assert len(listed) == len(set(listed))
