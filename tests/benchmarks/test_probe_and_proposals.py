"""The benchmarks of the probe and of BING in tiny sizes."""

import probe
import proposals
from synthetic_photos import jpegs


def test_the_projects_average_precision_is_scikit_learns_and_is_timed_beside_it():
    result = probe.average_precisions(400)
    assert result["ap_largest_difference"] < 1e-9
    assert result["ap_ours_wall_s"] > 0
    assert result["ap_times_scikit_learn"]["min"] <= result["ap_times_scikit_learn"]["median"]
    assert result["map_batch_32"] > result["map_of_these"]


def test_a_probe_learns_the_features_that_it_is_timed_on():
    result = probe.linear_probe(256)
    assert result["probe_sgd_wall_s"] > 0
    assert result["probe_sgd_train_map"] > 0.5


def test_bing_is_timed_on_every_photo_and_its_memory_is_read(tmp_path):
    for number, data in enumerate(jpegs(2)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    files = sorted(tmp_path.glob("*.jpg"))
    images = list(proposals.decoded(files))
    assert max(images[0].shape[:2]) == proposals.LONG_SIDE
    result = proposals.photo_times(images, None)
    assert set(result) == {"ours_10_cpu_ms", "ours_1000_cpu_ms", "ours_10_wall_ms", "ours_1000_wall_ms"}
    assert min(result.values()) > 0
    assert proposals.peak_memory(files, 3) > 20  # MiB
