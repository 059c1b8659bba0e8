"""Own pictures: ten letters in forty fonts, as JPEGs of several sizes, and how well `edgecnn train` learns them unaided."""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tools.claims.claims import EDGECNN, Claim, at_least, at_most

_LETTERS, _FONTS, _EACH = "ABEGKMPRSX", 40, 260
_SIZES = [(96, 96), (120, 90), (90, 120), (128, 128), (64, 80), (160, 120)]
# Installed with Debian's packages, and with matplotlib.
_FOLDERS = Path("/usr/share/fonts/truetype"), Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_FAMILIES = ("DejaVu", "Liberation", "STIXGeneral")


def measure(folder: Path) -> list[Claim]:
    """Train on the letters with no option but the data's; `folder` stays unused."""
    with tempfile.TemporaryDirectory() as name:
        data, out = draw(Path(name, "letters")), Path(name, "out")
        start = time.monotonic()
        subprocess.run([EDGECNN, "train", "--data", str(data), "--out", str(out)], check=True, stdout=sys.stderr)
        minutes = (time.monotonic() - start) / 60
        trained = json.loads((out / "train.json").read_text())
    pictures = f"{len(_LETTERS) * _EACH:,} JPEGs, a fifth of them for the test"
    how = f"edgecnn train --data letters; {pictures}; {len(trained['history'])} epochs"
    return [
        at_least("test images right, letters in 40 fonts, %", 100 * trained["test_accuracy"], 97, how),
        at_most("minutes that this took", minutes, 10, how),
    ]


def draw(folder: Path) -> Path:
    """Draw the letters, a folder each, and return the folder."""
    fonts = _fonts()
    rng = random.Random(7)  # noqa: S311 - The same pictures each time.
    for letter in _LETTERS:
        (folder / letter).mkdir(parents=True)
        for number in range(_EACH):
            _picture(letter, fonts[number % len(fonts)], rng).save(
                folder / letter / f"{number:03}.jpg", quality=rng.randint(60, 95)
            )
    return folder


def _fonts() -> list[Path]:
    every = [path for place in _FOLDERS for path in place.rglob("*.ttf") if path.name.startswith(_FAMILIES)]
    found = {path.name: path for path in every if "Display" not in path.name}  # Those have no letters.
    if len(found) < _FONTS:
        sys.exit(f"letters: {len(found)} fonts are here, {_FONTS} are needed: apt-get install fonts-dejavu fonts-liberation")
    return [path for _, path in sorted(found.items())][:_FONTS]


def _picture(letter: str, font: Path, rng: random.Random) -> Image.Image:
    width, height = size = rng.choice(_SIZES)
    paper, ink = _colours(rng)
    picture = Image.new("RGB", size, paper)
    drawn = ImageFont.truetype(font, int(min(size) * rng.uniform(0.5, 0.9)))
    place = (width * rng.uniform(0.38, 0.62), height * rng.uniform(0.38, 0.62))
    ImageDraw.Draw(picture).text(place, letter, ink, drawn, "mm")
    picture = picture.rotate(rng.uniform(-12, 12), Image.Resampling.BICUBIC, fillcolor=paper)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2))) if rng.random() < 0.4 else picture


def _colours(rng: random.Random) -> list[tuple[int, ...]]:
    """Two colours that differ clearly in light."""
    while True:
        colours = [tuple(rng.randint(0, 255) for _ in range(3)) for _ in range(2)]
        if abs(sum(colours[0]) - sum(colours[1])) > 150:
            return colours
