from __future__ import annotations

import numpy as np
import pandas as pd

from oac.data.tables import label_matrix
from oac.probe.object_sizes import largest_area


def test_largest_area_is_a_plain_loop_over_boxes():
    rng = np.random.default_rng(0)
    low, side = rng.random((60, 2)) * 0.5, rng.random((60, 2)) * 0.5
    boxes = pd.DataFrame(
        {
            "image_id": rng.choice(["a", "b", "c", "d"], 60),
            "label": rng.choice(["/m/x", "/m/y", "/m/z"], 60),
            "xmin": low[:, 0],
            "xmax": low[:, 0] + side[:, 0],
            "ymin": low[:, 1],
            "ymax": low[:, 1] + side[:, 1],
        }
    )
    boxes = boxes[~((boxes.image_id == "c") & (boxes.label == "/m/y"))]
    ids, labels = ["d", "c", "empty", "a"], ["/m/y", "/m/x"]  # neither photo b nor class z
    result = largest_area(boxes, ids, labels)
    for i, image in enumerate(ids):
        for c, label in enumerate(labels):
            rows = boxes[(boxes.image_id == image) & (boxes.label == label)]
            areas = [(row.xmax - row.xmin) * (row.ymax - row.ymin) for row in rows.itertuples()]
            np.testing.assert_allclose(result[i, c], max(areas) if areas else np.nan)
    assert np.array_equal(np.isnan(result), label_matrix(boxes, ids, labels) == 0)
    assert np.isnan(result[1, 0])
