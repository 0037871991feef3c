"""What all tests share: one compute thread, because the tests themselves run side by side, and their order."""

import os
from pathlib import Path

import hypothesis

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Time says nothing of an example where other work takes the machine.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")

TESTS = Path(__file__).parent
# Files whose tests take long, the longest first. Whole files are dealt out to the processes of pytest-xdist, in this
# order, so that none of them begins a long file when the others are at their end.
LONG = (
    "workflow/test_slurm.py",
    "pretrain/test_launch.py",
    "workflow/test_rerun.py",
    "test_docs_code.py",
    "pretrain/test_resume.py",
    "pretrain/test_compilation.py",
    "workflow/test_table1.py",
    "workflow/test_layouts.py",
    "workflow/test_photos.py",
    "workflow/test_report.py",
    "workflow/test_start.py",
    "workflow/test_audit.py",
    "workflow/test_init.py",
    "workflow/test_stopped.py",
    "pretrain/test_killed.py",
    "data/test_shard.py",
    "workflow/test_preempted.py",
    "workflow/test_braces.py",
    "workflow/test_proposal_comparison.py",
)


def pytest_collection_modifyitems(items):
    """Put the long files first; within a file, and among the others, the order stays."""
    places = {TESTS / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))
