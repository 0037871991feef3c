"""Counter-based random numbers: a function of their counters, without a state.

What happens to image i at epoch e of seed s depends on (s, e, i) and on nothing else. So a run gives the same bits
whatever the number of workers and wherever it was killed and resumed, and no generator state has to be saved. The
function is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) applied to the counters. Philox and
Threefry (Salmon et al., SC 2011) are generators of the same kind.
"""

from __future__ import annotations

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(value: np.ndarray | np.uint64) -> np.ndarray:
    """Scramble 64-bit words; every input bit reaches every output bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))


def uniform(seed: int, epoch: np.ndarray, image: np.ndarray, count: int, purpose: str) -> np.ndarray:
    """Draw `count` numbers for each (epoch, image) pair: (n, count) float64 in [0, 1).

    `purpose` separates draws for different ends ("crops", "augment"), so that adding a draw to one of them
    does not change the others. Its first eight bytes count.
    """
    with np.errstate(over="ignore"):
        state = _mix(np.uint64(seed) * _GOLDEN + np.uint64(int.from_bytes(purpose.encode()[:8], "big")))
        state = _mix(state + np.asarray(epoch, np.uint64) * _GOLDEN)
        state = _mix(state + np.asarray(image, np.uint64) * _GOLDEN)
        words = _mix(state[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Order in which epoch `epoch` visits `count` images: (count,) int64."""
    return np.random.default_rng([seed, epoch, count]).permutation(count)
