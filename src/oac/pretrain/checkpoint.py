"""The whole state of a run, written so that a run killed at any moment goes on to the same bits.

A run's state folder holds one checkpoint, the history so far and a lock. It is named by the recipe's hash and is
no declared output of the workflow, which would remove it when a job fails.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from oac.atomic import DiskFullError, writing
from oac.pretrain.recipe import canonical


class StateError(RuntimeError):
    """A state folder cannot be used by this run."""


class BusyError(StateError):
    """Another process holds the state folder, for as long as it trains."""


class State:
    """A run's state folder."""

    def __init__(self, folder: str | Path, recipe: dict[str, Any], fingerprint: str):
        """`fingerprint` names the photos and boxes trained on: a checkpoint of other data is not resumed."""
        self.folder, self.recipe, self.fingerprint = Path(folder), recipe, fingerprint
        self.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint, self.history = self.folder / "checkpoint.pt", self.folder / "history.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go of it however the process ends.

        The file of the lock says who has it, "host pid", for those who only look.
        """
        with open(self.folder / "lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError(f"another process is training in {self.folder}: wait for it or end it") from error
            file.truncate(0)
            file.write(f"{socket.gethostname()} {os.getpid()}\n")
            file.flush()
            # Only the holder of the lock writes here, so what a killed process left half-written can go.
            for leftover in self.folder.glob(".*.part.*"):
                leftover.unlink()
            yield

    def save(self, content: dict[str, Any]) -> None:
        """Replace the checkpoint in one step; a full disk leaves the last one."""
        content = {"recipe": canonical(self.recipe), "fingerprint": self.fingerprint, **content}
        # Given a path, torch hides a full disk behind an error of its archive writer.
        with writing(self.checkpoint) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)

    def load(self) -> dict[str, Any] | None:
        """Return what was saved last, or None for a fresh start.

        Raises StateError where the checkpoint is of another recipe. One of other data (the same recipe over a
        store that was made anew) is set aside and the run starts afresh.
        """
        if not self.checkpoint.exists():
            return None
        try:
            content: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise StateError(f"{self.checkpoint} cannot be read ({error}): remove it to start afresh") from error
        if content["recipe"] != canonical(self.recipe):
            raise StateError(f"{self.checkpoint} is of another recipe: remove {self.folder} to start afresh")
        if content["fingerprint"] != self.fingerprint:
            os.replace(self.checkpoint, self.checkpoint.with_suffix(".other-data.pt"))
            return None
        return content

    def start_history(self, step: int, **circumstances: str | int) -> None:
        """Begin the history with the recipe, or cut it back to what a checkpoint at `step` had seen.

        `circumstances` are what the recipe leaves open, such as the device and how many steps there are; they stand
        in the first line.
        """
        lines = [json.dumps({"recipe": self.recipe, **circumstances})]
        if step and self.history.exists():
            lines += [
                line for line in self.history.read_text().splitlines()[1:] if _step(line, otherwise=step + 1) <= step
            ]
        with writing(self.history) as temporary:
            temporary.write_text("\n".join(lines) + "\n")

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to the history. Raises DiskFullError."""
        try:
            with open(self.history, "a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFullError(
                error.errno,
                f"no room to write {self.history}: free some space and run again; the run goes on where it was",
            ) from error


def _step(line: str, otherwise: int) -> int:
    """Return the step of a history line; a line cut short by a kill counts as `otherwise`."""
    try:
        step: int = json.loads(line)["step"]
        return step
    except (ValueError, KeyError):
        return otherwise
