"""Which commit of this code a run was made by."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking.errors import TrackingError

UNKNOWN = "unknown"


def code_version(folder: Path | None = None) -> str:
    """Name the commit checked out in ``folder``.

    Args:
        folder: Root of the checkout; the one this package stands in when omitted.

    Returns:
        The full commit hash, with ``-dirty`` appended when a tracked file was changed since;
        ``unknown`` without git, outside a checkout, or before the first commit. An installed
        copy inside somebody else's repository is ``unknown`` too.
    """
    root = (folder or Path(__file__).parents[1]).resolve()
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root:
        return UNKNOWN
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return UNKNOWN
    return f"{commit}-dirty" if changes else commit


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Put the code of a commit into a folder of its own, which goes away with the block.

    Raises:
        TrackingError: This is no checkout that holds the commit.
    """
    root = Path(__file__).parents[1].resolve()
    with tempfile.TemporaryDirectory(prefix="fundus-") as folder:
        code = Path(folder) / "code"
        _git(root, "worktree", "prune")  # of a process that was killed
        if _git(root, "worktree", "add", "--detach", str(code), commit) is None:
            raise TrackingError(f"commit {commit[:12]}: it cannot be checked out here")
        try:
            yield code
        finally:
            _git(root, "worktree", "remove", "--force", str(code))


def _git(root: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    answer = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        [git, "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else None
