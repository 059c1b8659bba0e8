"""A recording of commands in a terminal, as an SVG that shows line after line: make recording.

The commands really run, in a folder with a copy of the model. A pause is as long as it was, but at most 0.6 s.
"""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from edgecnn.edge.files import temporary_folder

COLUMNS = 80
COMMANDS = (("export", "--quantize", "int8"), ("bench",))
_LONGEST_PAUSE_SECONDS = 0.6
_TYPING_SECONDS = 0.6
# Rich's own has a font from elsewhere. This window is dark on any page, and a browser that animates nothing shows all lines.
_SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.{unique_id}-matrix text {{ animation: shown 1ms both; }}
@keyframes shown {{ from {{ opacity: 0; }} }}
@media (prefers-reduced-motion: reduce) {{ .{unique_id}-matrix text {{ animation: none; }} }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True)
class Line:
    """A line of the terminal.

    Attributes:
        seconds: When it was written, since the command's start.
        text: With its colours.
    """

    seconds: float
    text: Text


def run(command: Sequence[str], folder: Path) -> list[Line]:
    """Run a command whose output is a terminal of `COLUMNS` columns, and return what it printed.

    Its standard error is a pipe: lines of progress, and no bar that is drawn again and again.

    Raises:
        subprocess.CalledProcessError: If its exit code is not 0.
    """
    terminal, output = pty.openpty()
    fcntl.ioctl(output, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color"}
    start = time.monotonic()
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE
    )
    os.close(output)
    assert child.stderr  # noqa: S101  # It is a pipe.
    lines: list[Line] = []
    rest = {terminal: b"", child.stderr.fileno(): b""}
    while rest:
        for source in select.select(list(rest), [], [])[0]:
            data = _read(source)
            *whole, rest[source] = (rest[source] + data).split(b"\n")
            style = "" if source == terminal else "grey62"
            lines += [Line(time.monotonic() - start, _text(line, style)) for line in whole]
            if not data:
                del rest[source]
    os.close(terminal)
    child.stderr.close()
    if child.wait():
        raise subprocess.CalledProcessError(child.returncode, list(command), "\n".join(line.text.plain for line in lines))
    return lines


def _read(source: int) -> bytes:
    try:
        return os.read(source, 2**16)
    except OSError:  # The last process that had the terminal has ended.
        return b""


def _text(line: bytes, style: str) -> Text:
    text = Text.from_ansi(line.decode(errors="replace").rstrip("\r"))
    text.stylize(style)
    return text


def svg(sessions: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Return an SVG that shows commands and what they printed, line by line.

    Args:
        sessions: Each command as it is typed, with its lines.
    """
    shown: list[Text] = []
    times: list[float] = []
    now = 0.0
    for command, lines in sessions:
        now += _TYPING_SECONDS
        shown += [Text.assemble(("$ ", "bold green"), (command, "bold")), *(line.text for line in lines), Text("")]
        before = 0.0
        times.append(now)
        for line in lines:
            now += min(line.seconds - before, _LONGEST_PAUSE_SECONDS)
            before = line.seconds
            times.append(now)
        times.append(now)
    shown, times = shown[:-1], times[:-1]
    width = max(COLUMNS, *(text.cell_len for text in shown))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(width=width, record=True, file=nowhere, force_terminal=True, color_system="truecolor")
        for text in shown:
            console.print(text, no_wrap=True, highlight=False)
        picture = console.export_svg(title="edgecnn", theme=MONOKAI, code_format=_SVG, unique_id="edgecnn")

    def timed(found: re.Match[str]) -> str:
        return f'<text style="animation-delay: {times[int(found[2])]:.2f}s"{found[1]}'

    return re.sub(r'<text((?=[^>]*clip-path="url\(#edgecnn-line-(\d+)\)"))', timed, picture)


def record(model: Path, output: Path) -> None:
    """Record `COMMANDS` on a copy of a trained model's folder into `output`."""
    sessions = []
    with temporary_folder() as folder:
        shutil.copytree(model, folder / "artifacts" / "mnist")
        for words in COMMANDS:
            lines = run([sys.executable, "-m", "edgecnn", *words], folder)
            sessions.append((" ".join(("edgecnn", *words)), lines))
    output.write_text(svg(sessions))


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
