"""`make repairs`: measures public int8 files beside their float files, and the int8 files that edgecnn makes of these.

    python -m tools.repairs [--folder FOLDER] [PART OF A NAME...]

Each pair of pairs.toml is measured once and kept in results.json; naming parts of names measures those pairs again. Then the
table is printed, and docs/explanation/repairs.md written. Files of others stay in FOLDER and in artifacts/repairs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgecnn.edge.errors import EdgeCnnError
from tools.repairs.images import write_images
from tools.repairs.measure import compare, told
from tools.repairs.page import PAGE, to_page, to_text
from tools.repairs.repositories import Repositories
from tools.repairs.results import Row, new_row, read_rows, write_rows
from tools.repairs.table import Pair, PublicImages, read_table

_OUT = Path("artifacts/repairs")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; None for this process's own."""
    parser = argparse.ArgumentParser(prog="python -m tools.repairs", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".cache/repairs"), help="Folder of the repositories' clones.")
    parser.add_argument("--again", action="store_true", help="Measure pairs again that were measured before.")
    parser.add_argument("--table", action="store_true", help="Measure nothing: print the table and write the page.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="Part of the names of the pairs to measure. Default: all.")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure pairs, keep what was found after each, print the table and write the page."""
    given = parsed(arguments)
    table, rows = read_table(), read_rows()
    wanted = [pair for pair in table.pairs if not given.names or any(name in pair.name for name in given.names)]
    if not wanted:
        sys.exit(f"repairs: no pair is called {given.names[0]}: name parts of the names in the table")
    todo = [] if given.table else [pair for pair in wanted if given.again or pair.name not in rows]
    repositories = Repositories(given.folder)
    for number, pair in enumerate(todo, 1):
        print(f"repairs: {number} of {len(todo)}, {pair.name}", file=sys.stderr, flush=True)
        rows[pair.name] = _measured(pair, table.images[pair.images], repositories)
        write_rows([rows[known.name] for known in table.pairs if known.name in rows])
    kept = [(pair, rows[pair.name]) for pair in table.pairs if pair.name in rows]
    print(to_text(kept))
    PAGE.write_text(to_page(kept, table.images), encoding="utf-8")


def _measured(pair: Pair, images: PublicImages, repositories: Repositories) -> Row:
    """Measure a pair; what edgecnn refuses is a row too."""
    folder = _OUT / pair.name
    repositories.write_files(pair.repo, pair.commit, [pair.float32, pair.int8], folder / "repository")
    data: str | Path = images.data
    if not data:
        data = _OUT / f"{pair.images}.npz"
        if not data.exists():
            write_images(images, repositories, data)
    float32, int8 = (folder / "repository" / name for name in (pair.float32, pair.int8))
    try:
        return new_row(pair, compare(float32, int8, data, pair.interface, folder))
    except EdgeCnnError as error:
        print(f"repairs: {pair.name}: {error}", file=sys.stderr)
        return new_row(pair, None, told(error, folder, _OUT))


if __name__ == "__main__":
    main()
