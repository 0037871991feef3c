"""Freed memory stays in the process: new arrays cost no page faults."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from oac.allocation import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(77)
begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    parts = [np.ones(500_000, np.float32) for _ in range(4)]
    del parts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin)
"""


def faults(mode):
    result = subprocess.run([sys.executable, "-c", PROGRAM, mode], capture_output=True, text=True)
    if result.returncode == 77:
        pytest.skip("this C library is not glibc")
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


def test_large_arrays_made_again_and_again_are_not_paged_in_each_time():
    assert faults("keep") < faults("as it is") / 4
