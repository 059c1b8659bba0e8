"""A candidate answers live pictures in the shadow of the files in service; the counts agree with what both answer."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from edgecnn.edge.errors import ArtifactError, ConfigError
from edgecnn.edge.inference.classifier import Prediction
from edgecnn.edge.inference.pictures import FittedPicture
from edgecnn.edge.manifest import Preprocessing
from edgecnn.edge.serving.decoder import Rule
from edgecnn.edge.serving.service import shadow as module
from edgecnn.edge.serving.service.shadow import Kept, Shadow
from tests.edge.serving.running import serving, watching
from tests.edge.serving.service.conftest import FILE, Pair, hash_of
from tests.edge.serving.service.desk import ask

_SECONDS = 60
RULE = Rule((2, 2, 1), Preprocessing(1.0, "stretch", "any"))
NEW = Prediction(np.array([0]), ("new",), np.array([[1, 0]], np.float32), ""), 1
"""What a candidate's file answers, within a nanosecond."""
OTHER_RULE = Rule((4, 4, 1), Preprocessing(1.0, "stretch", "any"))


def wait_answered(counts: Callable[[], dict[str, int]], answered: int) -> dict[str, int]:
    """Wait until a shadow has answered so many pictures, and return its counts."""
    end = time.monotonic() + _SECONDS
    while (found := counts())["answered"] < answered:
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def counts(state: Path, answered: int) -> dict[str, int]:
    """The same of a server's shadow."""
    return wait_answered(lambda: ask(state, "status")["shadow"], answered)


@pytest.mark.workstation("load, signals and many connections take minutes under emulation")
def test_the_next_pictures_are_answered_by_both_and_differing_ones_are_kept_if_there_is_room(
    pair: Pair, pictures: Path, tmp_path: Path
) -> None:
    state, keep = tmp_path / "state", tmp_path / "kept"
    sent = [path.read_bytes() for path in sorted(pictures.iterdir())]
    with serving(tmp_path, pair.old, "--state", state) as server:
        assert "load one first" in ask(state, "shadow", pictures=1)["error"]
        assert ask(state, "load", path=str(pair.old))["ok"]
        assert ask(state, "shadow", pictures=5, keep=str(keep)) == {"ok": True}
        before = [server.classify(picture).json["pictures"][0]["answers"][0]["label"] for picture in sent]
        assert counts(state, 5) == {"wanted": 5, "answered": 5, "same": 5, "kept": 0, "dropped": 0}
        assert ask(state, "load", path=str(pair.new))["ok"]
        assert ask(state, "status")["shadow"] is None
        room = sum(map(len, sent[:3]))
        assert ask(state, "shadow", pictures=8, keep=str(keep), keep_bytes=room) == {"ok": True}
        during = [server.classify(picture).json["pictures"][0]["answers"][0]["label"] for picture in sent]
        found = counts(state, 8)
        assert during == before
        assert ask(state, "switch", sha256=hash_of(pair.new))["ok"]
        after = [server.classify(picture).json["pictures"][0]["answers"][0]["label"] for picture in sent]
        assert counts(state, 8) == found
    assert (found["answered"], found["same"]) == (8, sum(one == other for one, other in zip(before, after, strict=True)))
    kept = sorted(keep.iterdir())
    assert found["kept"] == len(kept) > 0
    assert sum(path.stat().st_size for path in kept) <= room
    for number, path in enumerate(kept):
        assert path.name == f"{number:06}-{before[number]}-{after[number]}.png"
        assert path.read_bytes() == sent[number]


@pytest.mark.workstation("load, signals and many connections take minutes under emulation")
def test_frames_of_a_camera_are_live_pictures_too(pair: Pair, pictures: Path, tmp_path: Path) -> None:
    state, keep = tmp_path / "state", tmp_path / "kept"
    with serving(tmp_path, pair.old, "--state", state, "--camera", pictures) as server:
        assert ask(state, "load", path=str(pair.new))["ok"]
        assert ask(state, "shadow", pictures=3, keep=str(keep))["ok"]
        with watching(server) as lines:
            assert len(list(islice(lines, 5))) == 5
            assert counts(state, 3)["same"] == 0
    for path in keep.iterdir():
        with Image.open(path) as picture:
            assert picture.size == (12, 12)


def candidate(*names: str, rule: Rule = RULE, timed: Callable[[Any], Any] = lambda image: NEW) -> Any:
    return SimpleNamespace(files=tuple(SimpleNamespace(name=name, rule=rule, timed=timed) for name in names))


@pytest.fixture
def shadow_of() -> Iterator[Any]:
    """Makes a shadow of a candidate, and ends it."""
    made = list[Shadow]()

    def shadow(models: Any, wanted: int = 10, kept: Kept | None = None) -> Shadow:
        made.append(Shadow(models, wanted, kept))
        return made[-1]

    yield shadow
    for one in made:
        one.close()


def offer(shadow: Shadow, *answers: tuple[str, str], source: Any = b"picture", rule: Rule = RULE) -> None:
    image = FittedPicture(np.zeros(rule.shape, np.uint8))
    shadow.offer(source, {rule: image}, [{"file": file, "label": label} for file, label in answers])


def test_files_of_one_name_are_compared_and_else_the_first_ones(shadow_of: Any) -> None:
    shadow = shadow_of(candidate("a.tflite", "b.tflite"))
    for answers, same in (
        ((("a.tflite", "new"), ("b.tflite", "new")), 1),
        ((("a.tflite", "new"), ("b.tflite", "old")), 1),
        ((("c.tflite", "new"), ("b.tflite", "new")), 2),
        ((("c.tflite", "new"), ("d.tflite", "old")), 3),
        ((("c.tflite", "old"),), 3),
    ):
        answered = shadow.counts()["answered"]
        offer(shadow, *answers)
        assert wait_answered(shadow.counts, answered + 1)["same"] == same


def test_a_shadow_that_is_behind_drops_pictures_and_keeps_nobody_waiting(shadow_of: Any) -> None:
    released = threading.Event()

    def slow(image: Any) -> tuple[Prediction, int]:
        assert released.wait(_SECONDS)
        return NEW

    shadow = shadow_of(candidate("a.tflite", timed=slow), wanted=100)
    try:
        for _ in range(50):
            offer(shadow, ("a.tflite", "new"))
        waiting = 50 - shadow.counts()["dropped"]
        assert 0 < waiting <= module._MOST_WAITING + 1
        offer(shadow, ("a.tflite", "new"), source=b"x" * (module._MOST_WAITING_BYTES + 1))
        assert shadow.counts()["dropped"] == 51 - waiting
    finally:
        released.set()
    assert wait_answered(shadow.counts, waiting)["same"] == waiting
    offer(shadow, ("a.tflite", "new"), source=b"x" * (module._MOST_WAITING_BYTES + 1))
    assert shadow.counts()["dropped"] == 52 - waiting


def test_a_candidate_that_can_t_answer_disagrees_and_goes_on(shadow_of: Any, tmp_path: Path) -> None:
    def failing(image: Any) -> tuple[Prediction, int]:
        raise ArtifactError("int8.tflite fails")

    shadow = shadow_of(candidate("a.tflite", timed=failing), kept=Kept(tmp_path / "kept", 100))
    for number in (1, 2):
        offer(shadow, ("a.tflite", "../old\n"))
        found = wait_answered(shadow.counts, number)
        assert found["same"] == 0
    assert found["kept"] == 2
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        f"{number:06}-.._old_-none.picture" for number in range(2)
    ]


def test_a_candidate_with_other_images_gets_its_own(shadow_of: Any) -> None:
    seen = list[Sequence[int]]()

    def timed(image: Any) -> tuple[Prediction, int]:
        seen.append(image.shape)
        return NEW

    stream = BytesIO()
    Image.new("L", (9, 9), 100).save(stream, "PNG")
    shadow = shadow_of(candidate("a.tflite", rule=OTHER_RULE, timed=timed))
    for source in (stream.getvalue(), np.zeros((9, 9, 3), np.uint8)):
        offer(shadow, ("a.tflite", "new"), source=source)
    assert wait_answered(shadow.counts, 2)["same"] == 2
    assert seen == [(4, 4, 1)] * 2
    offer(shadow, ("a.tflite", "new"), source=b"no picture")
    assert wait_answered(shadow.counts, 3)["same"] == 2


def test_what_is_in_the_folder_already_counts_for_its_limit(tmp_path: Path) -> None:
    (tmp_path / "earlier.png").write_bytes(b"x" * 60)
    kept = Kept(tmp_path, 100)
    assert not kept.keep(b"x" * 41, "a", "b")
    assert kept.keep(b"\x89PNG" + b"x" * 36, "a", "b")
    assert not kept.keep(b"x", "a", "b")
    assert Kept(tmp_path, 101).keep(b"x", "a" * 1000, "b")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 101
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="file can't be written"):
        Kept(tmp_path / "file", 100)


def test_a_shadow_that_was_ended_takes_no_more(shadow_of: Any) -> None:
    shadow = shadow_of(candidate(FILE))
    shadow.close()
    offer(shadow, (FILE, "new"))
    assert cast(Any, shadow)._left == 10
