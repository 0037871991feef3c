"""Which commit the code that runs is of, so that a number leads back to it.

It is no part of a recipe: a commit says where to look, not what changes a run's weights.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

UNKNOWN = "unknown"
SECONDS = 10.0  # for each call of git
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # set in hooks, of another repository perhaps


def commit(package: Path = Path(__file__).parent) -> str:
    """First 12 hexadecimal digits of the commit that a package's folder is checked out at.

    `-dirty` follows where a tracked file of the checkout was changed since. UNKNOWN without git, outside of a
    checkout, and where the package was installed into a folder of another one, which does not track it.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _ELSEWHERE}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # many jobs ask at a time; none of them writes

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(package), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=SECONDS, env=environment
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
