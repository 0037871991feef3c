"""What all tests share: one compute thread, because the tests themselves run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
