"""A stand-in for edgecnn with planted faults, and a runner of its commands."""

from collections.abc import Iterator

import pytest

from tools.faults.pool import Lane


@pytest.fixture(scope="module")
def lane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    """Run commands of the test file's `PLANTED`, all in one lane."""
    folder = tmp_path_factory.mktemp("lane")
    (folder / "planted" / "edgecnn").mkdir(parents=True)
    (folder / "planted" / "edgecnn" / "__init__.py").touch()
    # All else is the real package's.
    extended = "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
    (folder / "planted" / "edgecnn" / "__init__.py").write_text(extended)
    (folder / "planted" / "edgecnn" / "__main__.py").write_text(request.module.PLANTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "planted"))
        made = Lane(folder / "lane", "device", hang_seconds=60)
        yield made
        made.close()
