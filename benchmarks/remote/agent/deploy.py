"""Puts a bundle into service on the device, as a transaction: the earlier one answers until the new one has proven itself."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035  # Python 3.7 and 3.8 can't subscribe to the other.

from edgecnn.benchmarks.remote.agent import systemctl
from edgecnn.benchmarks.remote.agent.conversation import Failed, ignore_signals, os_error, pause, read_line, tell
from edgecnn.benchmarks.remote.agent.process import execute
from edgecnn.benchmarks.remote.agent.receiving import receive
from edgecnn.benchmarks.remote.agent.releases import BUNDLE_NAME, SIGNATURE_NAME, Release, Releases, now
from edgecnn.benchmarks.remote.agent.service import LOAD_SECONDS, Gone, ask, await_service, go_over, running, watch
from edgecnn.benchmarks.remote.agent.serving import revive, start, unit_state
from edgecnn.benchmarks.remote.agent.signature import BadSignature, signer
from edgecnn.benchmarks.remote.agent.software import find, install, stamp_of

_JUDGED = (0, 3, 7)  # Exit codes with which `edgecnn bench` prints a result.
_SHADOW_SECONDS = 1.0


class NotTaken(Failed):
    """The bundle is not to go into service, or not to stay there; the device is as it was."""


def deploy(request: dict[str, Any], cache: Path, run: Path) -> tuple[int, str, str]:
    """Put the request's bundle into service, and return what was done as JSON.

    Raises:
        Failed: If it can't be tried, for example for lack of room or of edgecnn.
        Interrupted: If the requester is gone; then the earlier bundle is in service.
        OSError: If the disk is full or has another problem.
    """
    releases = Releases(Path.home())
    releases.prepare()
    transaction = _Transaction(request, releases, cache, run)
    try:
        transaction.run_whole()
    except NotTaken as refusal:
        transaction.done["reason"] = str(refusal)
    return 0, json.dumps(transaction.done), ""


def rollback(request: dict[str, Any], cache: Path, run: Path) -> tuple[int, str, str]:
    """Put the release before the one in service into service again, and return what was done as JSON.

    Raises:
        Failed: If no such release is there, or it does not load.
    """
    releases = Releases(Path.home())
    history = releases.history()
    earlier = [item for item in history[:-1] if not item.withdrawn]
    if not earlier:
        raise Failed("no earlier release is there: deploy one")
    done = _report("rolled back", earlier[-1].sha256, history[-1].sha256)
    with _timed(done, "switch"):
        try:
            done["serving"] = _go_back(releases, history[-1], earlier[-1])
        except Gone as error:
            raise Failed(f"the service there does not answer ({error}): try again") from error
    return 0, json.dumps(done), ""


def status(request: dict[str, Any], releases: Releases) -> tuple[int, str, str]:
    """Return as JSON what is in service, what was, and what the service says of itself."""
    found = {
        "releases": [item._asdict() for item in releases.history()],
        "service": running(releases.service),
        "unit": unit_state(),
    }
    return 0, json.dumps(found), ""


class _Transaction:
    """One bundle on its way into service.

    Attributes:
        done: What was done so far.
    """

    def __init__(self, request: dict[str, Any], releases: Releases, cache: Path, run: Path) -> None:
        self._request, self._releases, self._cache, self._run = request, releases, cache, run
        self._sha256 = request["bundle"]["sha256"]
        self._history = releases.history()
        self._earlier = self._history[-1] if self._history else None
        self.done = _report("refused", self._sha256, self._earlier and self._earlier.sha256)

    def run_whole(self) -> None:
        """Do all steps.

        Raises:
            NotTaken: If the bundle is not in service afterwards; `done` says whether it was.
        """
        if self._request["service"]:
            systemctl.version()  # Where systemd does not run, that is said before the work.
        program, venv = self._software()
        with _timed(self.done, "send"):
            self.done["received_bytes"] = receive(self._request["bundle"], self._releases)
        self._bundle = self._releases.folder(self._sha256) / BUNDLE_NAME
        self._require_signature()
        with _timed(self.done, "verify"):
            self.done["golden"] = self._verified(program)
        if "budget" in self._request:
            with _timed(self.done, "bench"):
                self._require_budget(program)
        service, bundle = running(self._releases.service), self._request["bundle"]
        release = Release(self._sha256, venv, bundle["name"], self._request["version"], now(), not self._request["watch"])
        if not self._request["service"] and self._is_there(release, service):
            self.done["outcome"], self.done["serving"] = "unchanged", service is not None
            return
        same_software = bool(service and release.is_run_by(service))
        if same_software:
            self._load()
        elif self._request["shadow"]:
            raise NotTaken("no service answers there that could load it too, with the same edgecnn: deploy it without a shadow")
        self._go_over(release, service, same_software)
        self._releases.record([*self._releases.history()[:-1], release._replace(kept=True)])
        self._releases.prune()
        self.done["outcome"] = "deployed"

    def _go_over(self, release: Release, service: dict[str, Any] | None, same_software: bool) -> None:
        """Put the release into service, and watch it; take it back if it is not healthy, or the requester is gone."""
        # What is in service may have been killed before it had been watched to the end.
        others = [item for item in self._history if item.key != release.key and not item.withdrawn]
        good = [item for item in others if item.kept] or others
        try:
            with _timed(self.done, "switch"):
                self._releases.switch(release, self._releases.history())
                service = self._switched(service, same_software)
            self.done["serving"] = service is not None
            if service and self._request["watch"]:
                with _timed(self.done, "watch"):
                    limit = self._request.get("most_ms")
                    self.done["answers"] = watch(self._releases.service, self._sha256, service, self._request["watch"], limit)
        except BaseException as error:
            ignore_signals()
            self.done["outcome"] = "failed"
            if good:
                self.done["serving"] = _go_back(self._releases, release, good[-1], whatever_it_says=True)
                self.done["outcome"] = "taken back"
            if isinstance(error, (Failed, Gone, OSError)):
                why = os_error(error) if isinstance(error, OSError) else str(error)
                if isinstance(error, Gone):
                    why = f"the service stopped answering ({error})"
                raise NotTaken(f"it was in service, and is no longer: {why}" if good else why) from error
            raise

    def _software(self) -> tuple[str, str | None]:
        """Return the edgecnn that is to run, and the name of its environment; None if it is the one on the PATH."""
        venvs = self._releases.root / "venvs"
        with _timed(self.done, "software"):
            if not self._request["install"]:
                places = [venvs / item.venv for item in self._releases.history() if item.venv]
                program = find(self._request, places, self._run)
                venv = Path(program).parent.parent
                return program, venv.name if venv in places else None
            stamp = json.dumps(stamp_of(self._request), sort_keys=True)
            venv = venvs / hashlib.sha256(stamp.encode()).hexdigest()[:16]
            return install(self._request, venv, self._cache, self._run), venv.name

    def _verified(self, program: str) -> str:
        """Return the JSON of `edgecnn verify`: whether the bundle is whole and computes here what it did where it was made."""
        code, printed, last = self._ran(program, "verify")
        if code:
            raise NotTaken(last or f"edgecnn verify ended there with code {code}")
        return printed

    def _require_signature(self) -> None:
        """Raise if the device has a list of allowed signers, and none of them signed the bundle."""
        text, path = self._request["signature"], self._bundle.with_name(SIGNATURE_NAME)
        if text is not None:
            path.write_text(text)
        try:
            self.done["signer"] = signer(self._bundle, path if text is not None else None, Path.home())
        except BadSignature as error:
            raise NotTaken(str(error)) from error

    def _require_budget(self, program: str) -> None:
        (self._run / "budget.toml").write_text(self._request["budget"])
        code, printed, last = self._ran(program, "bench", "--budget=budget.toml", *self._request["arguments"])
        if code not in _JUDGED:
            raise NotTaken(last or f"edgecnn bench ended there with code {code}")
        tell("judge", printed)  # The requester knows what it sent, and believes no verdict of a device.
        reason = json.loads(read_line())
        if reason:
            raise NotTaken(reason)

    def _ran(self, program: str, command: str, *arguments: str) -> tuple[int, str, str]:
        code, printed, said = execute([program, command, str(self._bundle), *arguments, "--json", "-"], self._run)
        return code, printed, "".join(said[-1:]).partition("edgecnn: ")[2]

    def _load(self) -> None:
        """Let the running service load the bundle next to the one that answers, compare its golden vectors, and shadow it."""
        folder = self._releases.service
        try:
            with _timed(self.done, "load"):
                found = ask(folder, {"do": "load", "path": str(self._bundle)}, LOAD_SECONDS)
            if found.get("sha256") != self._sha256:
                raise NotTaken("the running service loaded another bundle: try again")
            if self._request["shadow"]:
                with _timed(self.done, "shadow"):
                    self._shadow(**self._request["shadow"])
        except BaseException as error:
            ignore_signals()
            with suppress(Failed, Gone):
                ask(folder, {"do": "drop"})
            if isinstance(error, (Failed, Gone)) and not isinstance(error, NotTaken):
                raise NotTaken(f"the running service did not take it: {error}") from error
            raise

    def _shadow(self, pictures: int, keep_bytes: int) -> None:
        """Let the bundle answer live pictures too, until the requester knows whether it agrees with the one in service."""
        folder, last = self._releases.service, -1
        keep = str(folder / "disagreements") if keep_bytes else None
        ask(folder, {"do": "shadow", "pictures": pictures, "keep": keep, "keep_bytes": keep_bytes})
        while last < pictures:
            counts = ask(folder, {"do": "status"})["shadow"]
            if counts["answered"] != last:
                last = counts["answered"]
                tell("say", f"answered {last} of {pictures} live pictures too, {counts['same']} the same")
            if last < pictures:
                pause(_SHADOW_SECONDS)
        self.done["shadowed"], self.done["agreed"] = counts["answered"], counts["same"]
        tell("agreed", counts["answered"], counts["same"])
        reason = json.loads(read_line())
        if reason:
            raise NotTaken(reason)

    def _switched(self, service: dict[str, Any] | None, same_software: bool) -> dict[str, Any] | None:
        """Let the service go over to the bundle; return what it says of itself then, None if none runs."""
        folder, asked = self._releases.service, self._request["service"]
        if asked and start(self._releases, asked, service is not None):
            return await_service(folder, self._sha256)
        return None if service is None else go_over(folder, self._sha256, service, same_software)

    def _is_there(self, release: Release, service: dict[str, Any] | None) -> bool:
        """Whether a release is in service already, by this device's record and by the service."""
        if self._earlier is None or self._earlier.key != release.key or not self._earlier.kept:
            return False
        return service is None or (service["serving"]["sha256"] == self._sha256 and release.is_run_by(service))


def _go_back(releases: Releases, last: Release, earlier: Release, whatever_it_says: bool = False) -> bool:
    """Let an earlier release take the place of the last one, and return whether a service answers with it.

    Raises:
        Failed: If the running service does not load it, unless it is put into service `whatever_it_says`.
        Gone: If it no longer answers, with the same exception.
    """
    service, loaded = running(releases.service), False
    if service and earlier.is_run_by(service):
        try:
            if service["serving"]["sha256"] != earlier.sha256:
                ask(releases.service, {"do": "load", "path": str(releases.bundle(earlier))}, LOAD_SECONDS)
            loaded = True
        except (Failed, Gone):
            if not whatever_it_says:
                raise
    history = [item for item in releases.history() if item.key not in (last.key, earlier.key)]
    releases.switch(earlier._replace(since=now()), [*history, last._replace(withdrawn=True)])
    try:
        if service is not None:
            go_over(releases.service, earlier.sha256, service, loaded, time.sleep)
        elif revive():
            await_service(releases.service, earlier.sha256, wait=time.sleep)
        else:
            return False
    except (Failed, Gone):
        if not whatever_it_says:
            raise
        return False
    return True


def _report(outcome: str, sha256: str, previous: str | None) -> dict[str, Any]:
    return {"outcome": outcome, "reason": None, "sha256": sha256, "previous": previous, "seconds": {}}


@contextmanager
def _timed(done: dict[str, Any], step: str) -> Iterator[None]:
    tell("step", step)
    start = time.monotonic()
    try:
        yield
    finally:
        done["seconds"][step] = round(time.monotonic() - start, 3)
