"""Pretrain one run, from its last checkpoint where there is one; stopped by SIGTERM it ends with code 75.

With several GPUs (or processes) the run is shared by as many processes, which torchrun starts and this one watches.
"""

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from oac.command import plain_errors
from oac.gpus import use_gpus

EXIT_PREEMPTED = 75  # as oac.pretrain.loop; here nothing that imports torch is needed until training starts
LEAVE_SECONDS = 30.0  # what processes that were asked to stop may take for their checkpoint
PREEMPTED = "preempted"  # written into the state folder by a run that stopped on request


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "boxes", "classes", "photos"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--proposals", default="", help="table of boxes; empty for crop variants without boxes")
    parser.add_argument("--recipe", type=json.loads, required=True, help="JSON of what differs from the defaults")
    parser.add_argument("--state", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="compute threads, shared by the run's processes")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs, each with a process of its own")
    parser.add_argument("--processes", type=int, default=1, help="processes of a run on a CPU")
    parser.add_argument("--compile", type=int, choices=[0, 1], default=0, help="whether networks are compiled first")
    parser.add_argument("--checkpoint-seconds", type=float, default=120.0, help="time between checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="encoder to write")
    parser.add_argument("--history", type=Path, required=True, help="history to write")
    return parser.parse_args()


def main() -> None:
    """Train here, or watch the processes that do."""
    options = parse()
    if "LOCAL_RANK" in os.environ:
        train(options)
        return
    processes = max(options.gpus, options.processes)
    with use_gpus(options.gpus):
        watch(options, processes) if processes > 1 else train(options)


def train(options: argparse.Namespace) -> None:
    """Train in this process, which may be one of several."""
    from oac.pretrain.distributed import process_group, world_size
    from oac.pretrain.loop import Preempted
    from oac.pretrain.recipe import complete
    from oac.pretrain.run import TrainingFiles, train_run

    proposals = Path(options.proposals) if options.proposals else None
    files = TrainingFiles(options.images, options.boxes, options.classes, options.photos, proposals)
    try:
        with process_group(gpus=options.gpus > 0) as device:
            train_run(
                complete(options.recipe),
                files,
                options.state,
                options.out,
                options.history,
                threads=max(1, options.threads // world_size()),
                device=device,
                checkpoint_seconds=options.checkpoint_seconds,
                compiled=bool(options.compile),
            )
    except Preempted as stop:
        print(stop, file=sys.stderr)
        if "LOCAL_RANK" in os.environ:
            (options.state / PREEMPTED).touch()
        sys.exit(EXIT_PREEMPTED)


def watch(options: argparse.Namespace, processes: int) -> None:
    """Start the processes through torchrun, hand a signal on to them, and end as they ended.

    torchrun ends with 1 whatever its processes ended with; a file tells that they stopped on request.
    """
    note = options.state / PREEMPTED
    note.unlink(missing_ok=True)
    asked: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: object) -> None:
        asked.append(number)
        if child is not None and len(asked) == 1:  # a second signal would break off torchrun's wait for its processes
            child.terminate()

    # In a session of its own torchrun gets Ctrl-C once, from here; its SIGTERM to the processes they answer.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    # torchrun inherits the locks of the acquired GPUs (close_fds). If this process is killed and can hand on nothing,
    # the kernel tells torchrun, and its processes write a checkpoint before others get the GPUs.
    child = subprocess.Popen(
        [*command, __file__, *sys.argv[1:]], start_new_session=True, close_fds=False, preexec_fn=end_with_parent
    )
    if asked:
        child.terminate()
    code = child.wait()
    # A scheduler that signals every process can end torchrun before its processes have written their checkpoint.
    deadline = time.monotonic() + LEAVE_SECONDS * bool(asked)
    while not note.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    if note.exists():
        note.unlink()
        sys.exit(EXIT_PREEMPTED)
    sys.exit(min(code, 1) if code >= 0 else 1)


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    with plain_errors():
        main()
