"""The training curves of studies as TensorBoard's event files.

    python -m oac.workflow.tensorboard STUDY... --out DIR
    tensorboard --logdir DIR

A run that trains has the lines of its history so far; called again, the command writes its files anew. Steps are
images seen, so that runs of different batch sizes compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oac.command import plain_errors
from oac.workflow.trainings import Training, arguments, trainings

SUFFIX = ".oac"  # of the event files that are ours to replace


def main() -> None:
    """Write the event files."""
    parser = arguments("tensorboard", __doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the event files, one folder a run")
    options = parser.parse_args()
    begun = [training for training in trainings(options.studies, options.directory) if training.lines]
    for training in begun:
        write_events(training, options.out / training.name)
    print(f"{options.out}: curves of {len(begun)} runs; to see them: tensorboard --logdir {options.out}")


def write_events(training: Training, folder: Path) -> None:
    """Replace the event files of a run by those of its history so far.

    Raises ValueError where the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError('tensorboard is not installed: pip install -e ".[tensorboard]"') from None
    intervals = [line for line in training.lines if "step" in line]
    for old in folder.glob(f"events.*{SUFFIX}"):
        old.unlink()
    with SummaryWriter(str(folder), filename_suffix=SUFFIX) as writer:
        for line, trained in zip(intervals, seconds_trained(intervals), strict=True):
            for name, value in line.items():
                if name not in ("step", "images_seen"):
                    writer.add_scalar(name, value, line["images_seen"], walltime=trained)


def seconds_trained(intervals: Sequence[Mapping[str, Any]]) -> list[float]:
    """Seconds of training by the end of each interval; a history holds no times of day, and pauses do not count."""
    seconds, seen, found = 0.0, 0, []
    for line in intervals:
        # Of a very slow run the rate is rounded to 0.
        seconds += (line["images_seen"] - seen) / max(line["images_per_s"], 0.05)
        seen = line["images_seen"]
        found.append(seconds)
    return found


if __name__ == "__main__":
    with plain_errors():
        main()
