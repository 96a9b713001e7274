"""A commit, unpacked as a clone would have it, and the image that its Dockerfile describes."""

import os
import posixpath
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from common.language import BilingualError, either
from preflight.dockerfile_reader import Stage
from preflight.fetched_model import Fetch


class RepositoryError(BilingualError, ValueError):
    """Not a git repository with a commit; the message says what to do."""


@dataclass
class Checkout:
    """A commit unpacked. commit: its full name. files: bytes by path. clone_bytes: of the whole
    history. outside: links that lead out of the repository, which were left out. submodules: paths
    that a plain clone leaves empty.

    Of its Dockerfile, once it is read: stage, the final one; image, the root of what it copies;
    fetch, the model; environment, its ENV over the settings of serve.env."""

    directory: Path
    commit: str = ""
    files: dict[str, int] = field(default_factory=dict)
    clone_bytes: int = 0
    outside: list[str] = field(default_factory=list)
    submodules: list[str] = field(default_factory=list)
    stage: Stage | None = None
    image: Path = Path()
    fetch: Fetch = Fetch()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Path:
        """The image's working directory, where the service starts."""
        return self.in_image("")

    def in_image(self, path: str) -> Path:
        """Where a path of the image lies here; a relative one is in its working directory."""
        assert self.stage is not None
        return self.image / posixpath.join(self.stage.workdir, path).lstrip("/")

    @property
    def model_id(self) -> str:
        """What the Dockerfile fetches, "" where it names no model."""
        return self.fetch.model_id


def git(repository: Path, *command: str, environment: dict[str, str] | None = None) -> bytes:
    """Output of a git command. Raises RepositoryError with git's own message."""
    done = subprocess.run(
        ["git", "-C", str(repository), *command],
        capture_output=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise RepositoryError(told or either(f"git {command[0]} 失败", f"git {command[0]} failed"))
    return done.stdout


def unpack(repository: Path, commit: str, target: Path) -> Checkout:
    """`commit` of `repository`, as a clone without Git LFS and submodules would have it.

    Raises RepositoryError.
    """
    _need_commit(repository)
    name = git(repository, "rev-list", "-1", commit, "--").decode().strip()
    folder = git(repository, "rev-parse", "--absolute-git-dir").decode().strip()
    # Not `git archive`, which leaves out what .gitattributes marks export-ignore, and of a
    # subfolder all that lies above. An index of its own: the user's stays as it is.
    own = {"GIT_INDEX_FILE": str(target.with_name("index.preflight")), "GIT_LFS_SKIP_SMUDGE": "1"}
    plain = ["-c", "core.autocrlf=false", "-c", "core.sparseCheckout=false"]
    places = [f"--git-dir={folder}", f"--work-tree={target}"]
    git(target, *places, *plain, "read-tree", name, environment=own)
    git(target, *places, *plain, "checkout-index", "-a", "-f", "-q", environment=own)
    checkout = Checkout(target, name)
    for path in sorted(target.rglob("*")):
        where = path.relative_to(target).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(target.resolve()):
            checkout.outside.append(f"{where} -> {path.readlink()}")
            path.unlink()  # on this machine it may lead to something
        elif path.is_file():
            checkout.files[where] = path.stat().st_size
    listed = git(repository, "ls-tree", "-r", "-z", "--full-tree", name).decode(errors="replace")
    entries = [entry.partition("\t") for entry in listed.split("\0") if entry]
    checkout.submodules = [path for told, _, path in entries if told.startswith("160000")]
    counted = dict(
        line.split(": ", 1) for line in git(repository, "count-objects", "-v").decode().splitlines()
    )
    checkout.clone_bytes = (int(counted["size"]) + int(counted["size-pack"])) * 1024
    return checkout


def _need_commit(repository: Path) -> None:
    if not repository.is_dir():
        raise RepositoryError(
            f"--repository {repository}：没有这个目录", f"--repository {repository}: no such folder"
        )
    try:
        git(repository, "rev-parse", "--git-dir")
    except RepositoryError as error:
        if "not a git repository" not in str(error):
            raise
        raise RepositoryError(
            f"{repository} 不是 git 仓库：评测机克隆的是提交。git init，git add -A，git commit",
            f"{repository} is no git repository, and the judge clones a commit: git init, "
            "git add -A, git commit",
        ) from error
    try:
        git(repository, "rev-parse", "--verify", "-q", "HEAD")
    except RepositoryError as error:
        raise RepositoryError(
            f"{repository} 里还没有提交：git add -A，git commit",
            f"no commit yet in {repository}: git add -A, git commit",
        ) from error
