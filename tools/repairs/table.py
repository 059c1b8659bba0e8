"""The table of public pairs, pairs.toml: where the files and the images are, and how they are used."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from edgecnn.edge.manifest import Fit, Output
from edgecnn.edge.model.interface import Interface, preprocessing

PAIRS = Path(__file__).with_name("pairs.toml")


@dataclass(frozen=True)
class PublicImages:
    """Labelled images that some pairs share.

    Attributes:
        about: What they are, for the page.
        learnt: Whether their authors trained the models of these pairs on them.
        data: Images that edgecnn loads by this name, or a folder that it reads; empty for those of a repository.
        repo: Repository, as owner/name.
        commit: Commit of it.
        path: Regular expression of the whole path of an image. Its group `label` is the name of the class; its group `part`,
            if there is one, is `test` for the images that may be held out.
        classes: The names that `label` finds, in the models' order; empty for all that are found, sorted.
        first: Class number of the first name.
        shape: (h, w, c) of the models' images.
        fit: Rule that fits image files to that size.
        held_out: Most images that files are measured on.
        calibration: Most images that set the ranges of edgecnn's int8 file.
    """

    about: str
    learnt: Literal["yes", "no", "perhaps"] = "no"
    data: str = ""
    repo: str = ""
    commit: str = ""
    path: str = ""
    classes: tuple[str, ...] = ()
    first: int = 0
    shape: tuple[int, int, int] = (0, 0, 0)
    fit: Fit = "stretch"
    held_out: int = 10_000
    calibration: int = 500


@dataclass(frozen=True)
class Pair:
    """A float file and the int8 file that its authors ship beside it.

    Attributes:
        repo: Repository, as owner/name.
        licence: The repository's licence, as its file names it; `none stated` without one.
        commit: Commit that has both files.
        float32: Path of the float file.
        int8: Path of their int8 file.
        images: Name of the images in the table.
        preprocess: A name of `edgecnn.edge.model.interface.SCHEMES`; empty if `scale` says how the files take pixels.
        scale: Scale of a pixel, 0 to 255.
        mean: What is subtracted then: one number, or one per channel.
        std: What that is divided by: one number, or one per channel.
        output: Whether the files end in probabilities or logits.
    """

    repo: str
    licence: str
    commit: str
    float32: str
    int8: str
    images: str
    preprocess: str = ""
    scale: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output: Output = "probabilities"

    @property
    def name(self) -> str:
        """Repository, commit and int8 file, which no two pairs share."""
        return f"{self.repo}@{self.commit[:7]}/{PurePosixPath(self.int8).name}"

    @property
    def interface(self) -> Interface:
        """How the files take pixels, and what they give."""
        taken = preprocessing(self.preprocess or None, scale=self.scale, mean=self.mean, std=self.std)
        assert taken  # The table states one or the other.
        return Interface(taken, self.output)

    @property
    def options(self) -> str:
        """The options of `edgecnn bench` and `edgecnn export` that say the same."""
        words = [f"--preprocess {self.preprocess}" if self.preprocess else f"--scale {self.scale:.9g}"]
        lists = {"mean": self.mean, "std": self.std}
        words += [f"--{name} {','.join(f'{value:g}' for value in given)}" for name, given in lists.items() if given]
        return " ".join([*words, *["--logits"] * (self.output == "logits")])


@dataclass(frozen=True)
class Table:
    """All pairs and their images by name."""

    images: dict[str, PublicImages]
    pairs: tuple[Pair, ...]


def read_table(path: Path = PAIRS) -> Table:
    """Read the table.

    Raises:
        SystemExit: If two pairs have one name, or a pair names images that the table lacks.
    """
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    images = {name: _images(row) for name, row in found["images"].items()}
    pairs = tuple(pair for source in found["sources"] for pair in _pairs(source))
    names = [pair.name for pair in pairs]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise SystemExit(f"{path}: {doubled[0]} is in it twice: remove one")
    if unknown := sorted({pair.images for pair in pairs} - {*images}):
        raise SystemExit(f"{path}: there are no images called {unknown[0]}: describe them as [images.{unknown[0]}]")
    return Table(images, pairs)


def _images(row: dict[str, Any]) -> PublicImages:
    return PublicImages(**_frozen(row))


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}


def _pairs(source: dict[str, Any]) -> Iterator[Pair]:
    """Yield the pairs of a repository, whose `files` are (commit, float file, int8 file)."""
    shared = _frozen({name: value for name, value in source.items() if name != "files"})
    for commit, float32, int8 in source["files"]:
        yield Pair(**shared, commit=commit, float32=float32, int8=int8)
