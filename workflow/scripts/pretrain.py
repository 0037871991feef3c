"""Pretrain one run, from its last checkpoint where there is one; stopped by SIGTERM it ends with code 75.

With several GPUs (or processes) the run is shared by as many processes, which torchrun starts and this one watches.
Where they are on several machines (nodes) of a SLURM job, srun starts this script once on each.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from oac.command import plain_errors
from oac.gpus import use_gpus

EXIT_PREEMPTED = 75  # as oac.pretrain.loop; here nothing that imports torch is needed until training starts
LEAVE_SECONDS = 30.0  # what processes that were asked to stop may take for their checkpoint
PREEMPTED = "OAC_PREEMPTED"  # the environment's name for the file that processes write which stopped on request


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("images", "boxes", "classes", "photos"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--proposals", default="", help="table of boxes; empty for crop variants without boxes")
    parser.add_argument("--init", default="", help="weights to start from; empty for random ones")
    parser.add_argument("--recipe", type=json.loads, required=True, help="JSON of what differs from the defaults")
    parser.add_argument("--state", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="compute threads of a machine, for its processes")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of all machines, each with a process")
    parser.add_argument("--processes", type=int, default=1, help="processes of a run on CPUs")
    parser.add_argument("--nodes", type=int, default=1, help="machines, each with an equal part of the processes")
    parser.add_argument("--rendezvous", help="HOST:PORT where the machines meet; without it srun starts them")
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="off", help="whether to compile networks")
    parser.add_argument("--accumulate", type=int, default=1, help="parts that a batch is computed in")
    parser.add_argument("--checkpoint-seconds", type=float, default=120.0, help="time between checkpoints")
    parser.add_argument("--attempt", type=int, default=1, help="which one this is of a job that is tried again")
    parser.add_argument("--out", type=Path, required=True, help="encoder to write")
    parser.add_argument("--history", type=Path, required=True, help="history to write")
    return parser.parse_args()


def main() -> list[str]:
    """Train here, or watch the processes that do; or return the command that starts several machines."""
    options = parse()
    if "LOCAL_RANK" in os.environ:
        train(options)
        return []
    refuse_repetition(options)
    if options.nodes > 1 and not options.rendezvous:
        return srun(options)
    with use_gpus(options.gpus // options.nodes):
        watch(options) if max(options.gpus, options.processes) > 1 else train(options)
    return []


def failure_note(options: argparse.Namespace) -> Path:
    """Where it stands why a run failed as it would fail again: beside its checkpoints."""
    return options.state.with_name(f"{options.state.name}.failed")


def refuse_repetition(options: argparse.Namespace) -> None:
    """Raise ValueError where the attempt before failed as this one would; a first attempt starts afresh."""
    note = failure_note(options)
    if options.attempt > 1 and note.exists():
        raise ValueError(f"{note.read_text(encoding='utf-8')} (not tried again, as it would end in the same way)")
    note.unlink(missing_ok=True)


def srun(options: argparse.Namespace) -> list[str]:
    """The command that starts this script on each machine of the job; they meet at a free port of this one.

    Raises ValueError outside of a job, FileNotFoundError without srun.
    """
    if "SLURM_JOB_ID" not in os.environ:
        raise ValueError(
            f"a run on {options.nodes} machines is a job of SLURM, and this is none: use profiles/slurm"
            " (docs/cluster.md), or set `gpus_per_node` in config/config.yaml to what nvidia-smi lists"
        )
    with socket.create_server(("", 0)) as free:
        rendezvous = f"{socket.gethostname()}:{free.getsockname()[1]}"
    program = shutil.which("srun")
    if program is None:
        raise FileNotFoundError("srun, which starts a run on several machines, is not on the PATH of this job")
    command = [program, f"--nodes={options.nodes}", "--ntasks-per-node=1", f"--cpus-per-task={options.threads}"]
    command += [f"--gpus-per-node={options.gpus // options.nodes}"] if options.gpus else []
    # A machine whose processes have stopped does not end those of another, which may be at their checkpoint.
    command += ["--kill-on-bad-exit=0", "--wait=0"]
    return [*command, sys.executable, __file__, *sys.argv[1:], "--rendezvous", rendezvous]


def train(options: argparse.Namespace) -> None:
    """Train in this process, which may be one of several."""
    from oac.pretrain.distributed import process_group
    from oac.pretrain.loop import Preempted
    from oac.pretrain.recipe import complete
    from oac.pretrain.run import TrainingFiles, train_run

    proposals, init = (Path(file) if file else None for file in (options.proposals, options.init))
    files = TrainingFiles(options.images, options.boxes, options.classes, options.photos, proposals, init)
    try:
        with process_group(gpus=options.gpus > 0) as device:
            train_run(
                complete(options.recipe),
                files,
                options.state,
                options.out,
                options.history,
                threads=max(1, options.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))),
                device=device,
                checkpoint_seconds=options.checkpoint_seconds,
                compile=options.compile,
                accumulate=options.accumulate,
            )
    except Preempted as stop:
        print(stop, file=sys.stderr)
        if PREEMPTED in os.environ:
            Path(os.environ[PREEMPTED]).touch()
        sys.exit(EXIT_PREEMPTED)
    except Exception as error:
        if not may_pass(error):
            note = failure_note(options)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(str(error), encoding="utf-8")
        raise


def may_pass(error: Exception) -> bool:
    """Whether a run that ended with this error could go well the next time, with the same input on the same machine.

    Storage and networks fail for a while, and so do GPUs and the other processes of a run, of which torch raises
    RuntimeError. What never passes by itself: bad input, training that diverged, a full disk, a GPU that is too
    small, a file that is not there or not to be read, a checkpoint that cannot be used, and a defect of the code.
    """
    import torch

    from oac.atomic import DiskFullError
    from oac.pretrain.checkpoint import BusyError, StateError

    files = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
    defects = (NotImplementedError, RecursionError)  # RuntimeErrors by Python's classes, and no failure of a GPU
    lasting = (DiskFullError, torch.OutOfMemoryError, StateError, *files, *defects)
    return isinstance(error, BusyError) or (
        isinstance(error, (OSError, RuntimeError)) and not isinstance(error, lasting)
    )


def watch(options: argparse.Namespace) -> None:
    """Start this machine's processes through torchrun, hand a signal on to them, and end as they ended.

    torchrun ends with 1 whatever its processes ended with; a file tells that they stopped on request.
    """
    with tempfile.TemporaryDirectory(prefix="oac-") as folder:
        note = Path(folder) / "preempted"
        os.environ[PREEMPTED] = str(note)
        code, asked = run_torchrun(options)
        # A scheduler that signals every process can end torchrun before its processes have written their checkpoint.
        deadline = time.monotonic() + LEAVE_SECONDS * asked
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        if note.exists():
            sys.exit(EXIT_PREEMPTED)
    sys.exit(min(code, 1) if code >= 0 else 1)


def run_torchrun(options: argparse.Namespace) -> tuple[int, bool]:
    """Run this machine's torchrun to its end; its code, and whether this process was asked to stop meanwhile."""
    asked: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: object) -> None:
        asked.append(number)
        if child is not None and len(asked) == 1:  # a second signal would break off torchrun's wait for its processes
            child.terminate()

    # In a session of its own torchrun gets Ctrl-C once, from here; its SIGTERM to the processes they answer.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    meeting = ["--standalone"]
    if options.nodes > 1:
        meeting = [f"--nnodes={options.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={options.rendezvous}"]
    processes = max(options.gpus, options.processes) // options.nodes
    command = [sys.executable, "-m", "torch.distributed.run", *meeting, f"--nproc-per-node={processes}"]
    # torchrun inherits the locks of the acquired GPUs (close_fds). If this process is killed and can hand on nothing,
    # the kernel tells torchrun, and its processes write a checkpoint before others get the GPUs.
    child = subprocess.Popen(
        [*command, __file__, *sys.argv[1:]], start_new_session=True, close_fds=False, preexec_fn=end_with_parent
    )
    if asked:
        child.terminate()
    return child.wait(), bool(asked)


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    with plain_errors():
        command = main()
    if command:  # SLURM signals what srun started, so that nobody needs to hand signals on
        os.execv(command[0], command)
