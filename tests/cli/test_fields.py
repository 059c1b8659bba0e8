"""The library's messages name Python arguments, and the command line names the options."""

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgecnn as ec
from edgecnn.edge.data.recorded_images import images_at_hand
from edgecnn.edge.errors import ArtifactError, ConfigError, field, setting, spelling
from edgecnn.edge.inference.usage import Usage
from edgecnn.edge.manifest import DatasetRecord
from edgecnn.shell.main import Command, commands
from edgecnn.workflows.repair import _settings

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "tests/benchmarks/kept_results/schema-5.json"
BUILDS_A_COMMAND_LINE = {
    "benchmarks/remote/agent/serving.py": "edgecnn's, on another machine",
    "benchmarks/remote/agent/signature.py": "edgecnn's, on another machine",
    "benchmarks/remote/agent/systemctl.py": "systemctl's and journalctl's, on another machine",
    "benchmarks/remote/agent/unit.py": "edgecnn's, on another machine",
    "benchmarks/deploy/order.py": "edgecnn's, on another machine",
    "benchmarks/remote/agent/deploy.py": "edgecnn's, on another machine",
    "benchmarks/remote/agent/main.py": "edgecnn's, on another machine",
    "benchmarks/remote/agent/software.py": "edgecnn's and pip's, on another machine",
    "benchmarks/remote/devices.py": "edgecnn's, on another machine",
    "benchmarks/remote/received.py": "edgecnn's, on another machine",
    "convert/mnn.py": "mnnconvert's",
    "edge/serving/export_page.py": "npm's",
    "edge/serving/service/handover.py": "edgecnn's, for the next process",
    "edge/packages.py": "pip's, to be typed next",
    "convert/show.py": "tensorboard's and edgecnn data's, to be typed next",
    "edge/serving/camera.py": "v4l2's and rpicam's, to be typed next",
    "benchmarks/emulator/counting.py": "the loader's, on an emulated board",
    "benchmarks/emulator/debian.py": "apt's and tar's, for an emulated board",
    "benchmarks/emulator/packages.py": "pip's, for an emulated board",
    "benchmarks/emulator/userland.py": "unshare's, for an emulated board",
    "benchmarks/runners/timed.py": "edgecnn's, on another machine",
    "edgecnn/workflows/fit_costs.py": "edgecnn's, on another machine",
    "benchmarks/remote/install.py": "pip's, for a wheel that goes to another machine",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("edge", "convert", "benchmarks", "edgecnn/workflows"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def options_in(tree: ast.Module) -> list[str]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Option"]
    declared = {id(word.value) for call in calls for word in call.keywords if word.arg == "name"}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in declared
    ]
    return [found for text in texts for found in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)]


def marked_in(tree: ast.Module) -> set[str]:
    """Return the names passed to `field`, also by `map(field, names)`, and to `setting`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "setting":
                names |= {str(item.value) for item in node.args[:1] if isinstance(item, ast.Constant)}
            called = node.func.id == "field"
            mapped = node.func.id == "map" and isinstance(node.args[0], ast.Name) and node.args[0].id == "field"
            if called or mapped:
                names |= {
                    item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and isinstance(item.value, str)
                }
    return names


def test_a_library_that_names_an_option_is_found() -> None:
    assert options_in(ast.parse("f'give {x} with --data'; g('''Doc of `--max-drop`.''')")) == ["--data", "--max-drop"]
    assert options_in(ast.parse("'a -- b'; '-0.5'; 'x--y'")) == []


@pytest.mark.parametrize(("name", "tree"), list(modules()))
def test_a_library_names_no_option(name: str, tree: ast.Module) -> None:
    assert bool(options_in(tree)) == (name in BUILDS_A_COMMAND_LINE), options_in(tree)


def test_of_edgecnn_s_options_the_text_of_a_training_has_only_those_in_a_command_line_of_another_command() -> None:
    assert {*options_in(ast.parse((ROOT / "convert/show.py").read_text()))} == {"--save", "--logdir"}


def test_a_page_names_no_option() -> None:
    pages = list((ROOT / "benchmarks/show/templates").glob("*.html"))
    assert pages
    for page in pages:
        assert not re.findall(r"[\s\"'](--[a-z][a-z-]*)(?= [a-z])", page.read_text()), page


def test_every_field_that_a_message_names_is_declared() -> None:
    known = {name for command in commands().values() for name in command.names()}
    named = {name for _, tree in modules() for name in marked_in(tree)}
    assert len(named) > 50
    assert named - known == set()


def unmarked_in(tree: ast.Module, known: set[str]) -> list[str]:
    """Return the texts that name a field without `field`: one of several words, or one with a value."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    ]

    def names_one(text: str) -> bool:
        words = re.finditer(r"(?<![\w.'-])(\w+)(?![\w.'-])(=?)", text)
        return any(word[1] in known and ("_" in word[1] or word[2]) for word in words)

    return [text for text in texts if " " in text.strip() and names_one(text)]


def test_no_message_names_a_field_without_its_mark() -> None:
    known = {name for command in commands().values() for name in command.names()}
    planted = ast.parse("raise E(f'give {x} a smaller batch_size', f'{y} needs fit=digit here', 'name other data')")
    assert unmarked_in(planted, known) == [" a smaller batch_size", " needs fit=digit here"]
    found = {text for _, tree in modules() for text in unmarked_in(tree, known)}
    assert not found


def test_an_error_names_fields_in_python_and_options_on_the_command_line() -> None:
    error = ConfigError(f"{field('precisions')}=int4 is unknown, add {field('batch_size')} or omit {field('watch_seconds')}")
    assert str(error) == "precisions=int4 is unknown, add batch_size or omit watch_seconds"
    # The last two are options of other commands.
    assert commands()["export"].typed(error) == "--quantize int4 is unknown, add --batch-size or omit --watch"


def test_a_text_names_settings_in_python_and_options_on_the_command_line() -> None:
    def text() -> str:
        return f"{setting('prefer', 'size')}, {setting('test_list', 'FILE')}, {setting('fit')}, {setting('fine_tune', False)}"

    assert text() == "prefer=size, test_list=FILE, fit, fine_tune=False"
    with spelling(commands()["train"].spelled):
        assert text() == "--prefer size, --test-list FILE, --fit, --no-fine-tune"
    assert text() == "prefer=size, test_list=FILE, fit, fine_tune=False"
    assert commands()["predict"].spelled("indices", 47) == "--index 47"
    assert commands()["bench"].spelled("install", True) == "--install"


def test_an_export_that_a_note_recommends_is_given_the_images_as_they_were_stated() -> None:
    usage = Usage("photos", ec.FolderOptions(keep_together=False, labels=Path("a b.txt")))
    with spelling(commands()["bench"].spelled):
        assert [*_settings(usage)] == ["--data photos", "--no-keep-together", "--labels 'a b.txt'"]


def test_an_error_that_stops_nothing_names_options_too_where_a_command_says_it() -> None:
    record = DatasetRecord("pets", "/nowhere/pets", "", "hash")
    said: list[str] = []
    assert images_at_hand(record, None, (), said.append) is None
    with spelling(commands()["report"].spelled):
        assert images_at_hand(record, None, (), said.append) is None
    assert [line.rpartition(" with ")[2] for line in said] == ["data", "--data"]


def test_an_error_names_a_field_as_its_caller_does_also_from_a_child_process() -> None:
    error = ConfigError(f"{field('model')}=a:b fails")
    error.renamed["model"] = "networks"
    error = pickle.loads(pickle.dumps(error))
    assert str(error) == "networks=a:b fails"
    assert commands()["sweep"].typed(error) == "--network a:b fails"


def test_what_a_user_named_like_a_field_stays_as_it_is() -> None:
    error = ArtifactError(f"labels=data: the class formats is not in labels: give {field('labels')}")
    assert commands()["train"].typed(error) == "labels=data: the class formats is not in labels: give --labels"


def test_an_error_from_a_child_process_or_in_another_error_still_becomes_options() -> None:
    inner = pickle.loads(pickle.dumps(ConfigError(f"omit {field('signature')}")))
    outer = ArtifactError(f"a.onnx: {inner.marked}")
    assert (str(inner), str(outer)) == ("omit signature", "a.onnx: omit signature")
    assert commands()["predict"].typed(outer) == "a.onnx: omit --signature"


def test_a_command_says_the_option(exported: Path, terminal: Any) -> None:
    line = terminal.fails(2, "predict", exported / "int8.tflite", "--index", "0", "--signature", "other")
    assert re.search(r"not other: .*--signature$", line)
    assert re.search(r"--channels.*\b1 or 3, got 7", terminal.fails(2, "train", "--channels", "7"))


# What each command needs before its options are looked at; `OUT` is a folder to write to.
TARGETS = {
    "predict": ("int8.tflite", "--index", "0"),
    "verify": ("int8.tflite",),
    "diagnose": ("int8.tflite",),
    "selftest": ("int8.tflite",),
    "sweep": ("--out", "OUT"),
    "fit": ("--out", "OUT"),
    "train": ("--out", "OUT"),
    "export": ("model.keras",),
    "data": ("DATA",),
    "compare": ("RESULT", "RESULT"),
    "report": ("RESULT", "--html", "OUT.html"),
}


def numbers() -> list[tuple[str, str]]:
    """Return each command with each of its options that takes a number."""
    return [
        (name, option.typed)
        for name, command in commands().items()
        for option in command.options()
        if not option.option.argument and option.kind in (int, float)
    ]


@pytest.mark.parametrize(("command", "option"), numbers())
def test_a_number_out_of_range_is_refused_by_the_options_name(
    command: str, option: str, exported: Path, idx_folder: Path, tmp_path: Path, terminal: Any
) -> None:
    paths = {"OUT": tmp_path / "out", "OUT.html": tmp_path / "out.html", "DATA": idx_folder, "RESULT": RESULT}
    needed = TARGETS.get(command, (".",))
    target = [paths.get(item, exported / item if item == "." or "." in item else item) for item in needed]
    for number in ("-7", "1e400"):
        line = terminal.fails(2, command, *target, f"{option}={number}")
        assert re.search(rf"{option}(?![\w-])", line)
        assert not re.search(r"\b[a-z]+_[a-z0-9]+", line.replace(str(tmp_path), ""))


def test_an_option_of_a_command_that_a_board_lacks_is_named_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Command.options

    def options(command: Command) -> Any:
        if command.name in ("train", "export", "sweep", "fit"):
            raise ModuleNotFoundError("No module named 'edgecnn.convert'")
        return whole(command)

    monkeypatch.setattr(Command, "options", options)
    bench = commands()["bench"]
    assert bench.spelled("tune", "here") == "--tune here"
    assert bench.spelled("max_drop_points", 1) == "--max-drop 1"
