"""Files of public repositories at one commit, from local git folders; a missing one is cloned without its files."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# A pointer to a file that Git LFS keeps elsewhere begins so.
_LFS = b"version https://git-lfs"
# What a repository or a user's settings could run while files are written.
_PLAIN = (
    "core.hooksPath=/dev/null",
    "core.symlinks=false",
    "core.autocrlf=false",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
)


class Repositories:
    """Git repositories in one folder, each in a folder called owner+name that is or contains any git folder.

    Args:
        folder: The folder. A clone without files is made in it for a repository that it lacks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_files(self, repo: str, commit: str) -> list[str]:
        """Return the paths of all files of a commit.

        Raises:
            SystemExit: If git fails.
        """
        listed = self._git(repo, "ls-tree", "-r", "-z", "--name-only", commit)
        return [name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name]

    def write_files(self, repo: str, commit: str, names: Sequence[str], out: Path) -> None:
        """Write files of a commit into a folder, with their paths. A partial clone fetches all of them at once.

        Raises:
            SystemExit: If git fails, or if a file is only a pointer to one that is kept elsewhere.
        """
        out.mkdir(parents=True, exist_ok=True)
        listed = b"\0".join(os.fsencode(name) for name in names)
        with tempfile.TemporaryDirectory() as index:
            settings = [word for setting in _PLAIN for word in ("-c", setting)]
            arguments = ("checkout", "--quiet", commit, "--pathspec-from-file=-", "--pathspec-file-nul")
            own = {"GIT_INDEX_FILE": str(Path(index) / "index"), "GIT_LITERAL_PATHSPECS": "1"}
            self._git(repo, *settings, f"--work-tree={out.resolve()}", *arguments, environment=own, given=listed)
        for name in names:
            with (out / name).open("rb") as file:
                if file.read(len(_LFS)) == _LFS:
                    raise SystemExit(f"{repo}: {name} is only a pointer of Git LFS at {commit[:7]}: remove it from the table")

    def _git(self, repo: str, *arguments: str, environment: dict[str, str] | None = None, given: bytes = b"") -> bytes:
        """Run git on a repository, and return what it prints."""
        command = ["git", f"--git-dir={self._git_folder(repo)}", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, env={**os.environ, **(environment or {})})
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            raise SystemExit(f"{repo}: git {arguments[0]} failed ({reason[0]}): remove {self._place(repo)} to clone it again")
        return done.stdout

    def _place(self, repo: str) -> Path:
        return self.folder / repo.replace("/", "+")

    def _git_folder(self, repo: str) -> Path:
        """Return a repository's git folder, after cloning it if the folder lacks it."""
        place = self._place(repo)
        if not place.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            address = f"https://github.com/{repo}"
            command = ["git", "clone", "--quiet", "--filter=blob:none", "--no-checkout", address, str(place)]
            made = subprocess.run(command, stdout=sys.stderr)
            if made.returncode:
                raise SystemExit(f"{repo} can't be cloned: put a clone of it into {place}")
        heads = (head for pattern in ("HEAD", "*/HEAD", "*/*/HEAD") for head in sorted(place.glob(pattern)))
        found = next((head.parent for head in heads if (head.parent / "objects").is_dir()), None)
        if found is None:
            raise SystemExit(f"{place} is no git repository: remove it to clone {repo}")
        return found.resolve()
