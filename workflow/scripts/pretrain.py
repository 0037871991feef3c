"""Pretrain one run, from its last checkpoint where there is one; stopped by SIGTERM it ends with code 75."""

import argparse
import json
import sys
from pathlib import Path

from oac.command import plain_errors
from oac.pretrain.loop import EXIT_PREEMPTED, Preempted
from oac.pretrain.run import TrainingFiles, train_run


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "boxes", "classes", "photos"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--proposals", default="", help="table of boxes; empty for crop lines without boxes")
    parser.add_argument("--recipe", type=json.loads, required=True, help="canonical JSON of the run")
    parser.add_argument("--state", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--checkpoint-seconds", type=float, default=120.0, help="time between checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="encoder to write")
    parser.add_argument("--history", type=Path, required=True, help="history to write")
    return parser.parse_args()


def main() -> None:
    """Train."""
    options = parse()
    proposals = Path(options.proposals) if options.proposals else None
    files = TrainingFiles(options.images, options.boxes, options.classes, options.photos, proposals)
    device = "cuda" if options.gpus else "cpu"
    try:
        train_run(
            options.recipe,
            files,
            options.state,
            options.out,
            options.history,
            threads=options.threads,
            device=device,
            checkpoint_seconds=options.checkpoint_seconds,
        )
    except Preempted as stop:
        print(stop, file=sys.stderr)
        sys.exit(EXIT_PREEMPTED)


if __name__ == "__main__":
    with plain_errors():
        main()
