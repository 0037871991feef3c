"""A SLURM cluster on the loopback address, with its own key, ports and folders; one machine plays two."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

NODES = ("node1", "node2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")

# Partition `high` takes the machines from the others. A job in `low` gets SIGTERM and has GraceTime seconds to end by
# itself; one in `abrupt` is queued again at once, with KillWait seconds between SIGTERM and SIGKILL.
# No control groups and no accounting, which want a machine of their own. GPUs are counted, not there. %n is the name
# of a machine: each has a slurmd, which SLURM allows on one host where it was built for that (Debian's is).
CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=60
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
GresTypes=gpu
NodeName=DEFAULT CPUs={cpus} CoresPerSocket={cpus} RealMemory=100000 Gres=gpu:2 State=UNKNOWN
{machines}
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=120 State=UP
PartitionName=abrupt Nodes=ALL PriorityTier=1 State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
"""


def missing() -> str:
    """Why no cluster can be started here; empty where one can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: munge slurmctld slurmd slurm-client)"
    return "" if os.getuid() == 0 else "slurmd starts jobs as root only"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def command(*words: str) -> str:
    """Run one of SLURM's commands and return what it prints."""
    result = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"{' '.join(words)}: {result.stderr}"
    return result.stdout


def wrap_srun(folder: Path, configuration: Path) -> None:
    """Write an `srun` that knows the configuration: the executor drops SLURM_CONF from the environment of its own."""
    folder.mkdir()
    script = folder / "srun"
    script.write_text(f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun")} "$@"\n')
    script.chmod(0o755)


@contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """Start one in `folder`, wait until its machines are idle, and stop it with all that it runs.

    Gives `folder`, with slurm.conf and the `bin` that belongs in front of PATH.
    """
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    controller, *ports = free_ports(1 + len(NODES))
    host = socket.gethostname().split(".")[0]
    configuration = folder / "slurm.conf"
    at = f"NodeHostname={host} NodeAddr=127.0.0.1"
    machines = "\n".join(f"NodeName={node} {at} Port={port}" for node, port in zip(NODES, ports, strict=True))
    values = {"host": host, "controller": controller, "machines": machines, "folder": folder, "cpus": os.cpu_count()}
    configuration.write_text(CONFIGURATION.format(**values))
    for number in range(2):
        (folder / f"gpu{number}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={key}"]
    munged += [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
    daemons = [munged, ["slurmctld", "-D", "-f", str(configuration)]]
    daemons += [["slurmd", "-D", "-N", node, "-f", str(configuration)] for node in NODES]
    wrap_srun(folder / "bin", configuration)
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    with ExitStack() as started:
        output = started.enter_context(open(folder / "daemons.log", "w"))
        for each in daemons:
            process = subprocess.Popen(each, env=environment, stdout=output, stderr=output)
            started.callback(stop, process)
            time.sleep(1)
        started.callback(subprocess.run, ["scancel", "--state=RUNNING", "--signal=KILL", "--full"], env=environment)
        ask = partial(subprocess.run, ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True)
        deadline = time.monotonic() + 30
        while set(ask().stdout.split()) != {b"idle"}:
            assert time.monotonic() < deadline, "\n".join(p.read_text()[-2000:] for p in folder.glob("*.log"))
            time.sleep(0.5)
        yield folder


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a daemon."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
