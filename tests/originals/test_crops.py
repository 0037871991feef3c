"""datasets/openimages_dataset_bing.py of the paper's authors beside `oac.pretrain.released`."""

import types

import numpy as np

from oac.pretrain.released import dilate_coordinate, grow_small


def test_regions_around_boxes_are_the_same_pixels(original):
    moco = types.ModuleType("moco")
    absent = {
        "moco": moco,
        "moco.loader": types.ModuleType("moco.loader"),
        "moco.builder": types.ModuleType("builder"),
    }
    theirs = original("object-cropping-ssl/datasets/openimages_dataset_bing.py", absent=absent).OpenImages
    rng = np.random.default_rng(0)
    for _ in range(2000):
        size = (1024, int(rng.integers(300, 1025)))[:: rng.choice([1, -1])]
        low = rng.random(2) * 0.9
        high = low + (1 - low) * (0.05 + 0.95 * rng.random(2))
        cut = types.SimpleNamespace(size=size, crop=lambda region: np.array(region, float))
        one = types.SimpleNamespace(bbox=[[None] * 4 + [low[0], high[0], low[1], high[1]]])
        box, extent = np.array([[*low * size, *high * size]]), np.array([size], float)
        for dilation, region in ((0, box), (0.2, dilate_coordinate(box, 0.2, extent))):
            expected, _ = theirs.extract_bb(one, 0, cut, 0, dilation=dilation)
            assert grow_small(region, extent)[0].astype(int).tolist() == expected.astype(int).tolist(), (box, size)
