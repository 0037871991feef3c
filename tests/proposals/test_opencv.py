"""OpenCV's BING, with its own trained weights, as the oracle of ours.

OpenCV always merges three colour spaces and works with a filter of few bits, so boxes are not equal one by
one; what must agree is how many objects they find.
"""

import gzip
import os
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from oac.proposals.bing import Bing
from oac.proposals.comparison import detection_rate
from oac.proposals.suppression import pairwise_iou

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
MODEL = SHARED / "bing" / "ObjectnessTrainedModel"
VOC = SHARED / "voc2007"
COUNTS = (10, 100, 1000)


MATRIX = re.compile(r"rows:\s*(\d+)\s+cols:\s*(\d+)\s+dt:\s*\w+\s+data:\s*\[(.*?)\]", re.DOTALL)


def opencv_model():
    """OpenCV's model of the colour space MAXBGR, the only one that works on the colours of the image itself.

    Its three files each hold one matrix: indices of the trained sizes, the filter, slope and offset of stage II. An
    index is 6 * (exponent of height - 4) + (exponent of width - 4).
    """
    matrices = []
    for part in ("idx", "wS1", "wS2"):
        with gzip.open(MODEL / f"ObjNessB2W8MAXBGR.{part}.yml.gz", "rt", encoding="ascii") as file:
            rows, columns, data = MATRIX.search(file.read()).groups()
        matrices.append(np.array([float(value) for value in data.split(",")]).reshape(int(rows), int(columns)))
    index, weights, calibration = matrices
    sizes = tuple((16 << int(i) % 6, 16 << int(i) // 6) for i in index.ravel())
    return Bing(sizes, weights.astype(np.float32), calibration)


def read_photos(count):
    if not VOC.is_dir() or not MODEL.is_dir():
        pytest.skip(f"the VOC2007 photos and OpenCV's BING model are not under {SHARED}")
    images, truth = [], []
    for image_id in (VOC / "ImageSets" / "Main" / "val.txt").read_text().split()[:count]:
        image = np.asarray(Image.open(VOC / "JPEGImages" / f"{image_id}.jpg").convert("RGB"))
        objects = ElementTree.parse(VOC / "Annotations" / f"{image_id}.xml").iter("bndbox")
        corners = [[float(box.findtext(key)) for key in ("xmin", "ymin", "xmax", "ymax")] for box in objects]
        images.append(image)
        truth.append((np.array(corners) - [1, 1, 0, 0]) / np.tile(image.shape[1::-1], 2))
    return images, truth


@pytest.fixture(scope="module")
def photos():
    return read_photos(60)


@pytest.fixture(scope="module")
def oracle(photos):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2, "saliency"):
        pytest.skip("this OpenCV is built without the contrib module saliency")
    bing = cv2.saliency.ObjectnessBING_create()
    bing.setTrainingPath(str(MODEL))
    results = []
    stdout, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # it prints three lines per image past Python's sys.stdout
    try:
        for image in photos[0]:
            _, boxes = bing.computeSaliency(np.ascontiguousarray(image[:, :, ::-1]))
            boxes = boxes.reshape(-1, 4).astype(float) - [1, 1, 0, 0]
            results.append(boxes / np.tile(image.shape[1::-1], 2))
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(null)
    return results


def test_opencv_weights_are_read_as_opencv_means_them(photos):
    bing = opencv_model()
    assert len(bing.sizes) == 28
    assert bing.sizes[:4] == ((16, 16), (32, 16), (64, 16), (16, 32))  # index 6 is the first of height 32
    assert bing.weights[0, 0] == np.float32(-4.79244976e-04)
    assert bing.weights[7, 7] == np.float32(-2.66545103e-04)
    assert bing.calibration[27].tolist() == [11.4811382, -0.916196704]


@pytest.mark.parametrize("average", ["image", "object"])
def test_finds_as_many_objects_as_opencv_with_the_same_weights(photos, oracle, average):
    images, truth = photos
    bing = opencv_model()
    ours = detection_rate([bing.propose(image, 1000)[0] for image in images], truth, COUNTS, average=average)
    theirs = detection_rate(oracle, truth, COUNTS, average=average)
    for count in COUNTS:
        assert ours[count] == pytest.approx(theirs[count], abs=0.05)


def test_the_best_boxes_are_among_opencvs_best(photos, oracle):
    def share(bing, iou):
        """Share of our first 20 boxes that one of OpenCV's first 50 overlaps by more than `iou`."""
        pairs = zip(photos[0], oracle, strict=True)
        return np.mean([pairwise_iou(bing.propose(i, 20)[0], boxes[:50]).max(axis=1) > iou for i, boxes in pairs])

    bing = opencv_model()
    assert share(bing, 0.6) > 0.92
    # On the scale of this measure, a filter read column by column is already far off.
    assert share(bing, 0.8) > share(replace(bing, weights=bing.weights.T), 0.8) + 0.15


def test_packaged_weights_find_more_objects_than_opencv_with_ten_boxes_and_as_many_with_more():
    # OpenCV's rates over the first 200 val photos, all three colour spaces and difficult objects included, measured
    # once. At 100 and 1,000 boxes the two are equal within what 200 photos can tell (docs/proposals.md has 1,500).
    images, truth = read_photos(200)
    bing = Bing.load()
    boxes = [bing.propose(image, 1000)[0] for image in images]
    for average, opencv in (("image", (0.440, 0.758, 0.937)), ("object", (0.261, 0.573, 0.845))):
        rates = detection_rate(boxes, truth, COUNTS, average=average)
        for count, theirs, above in zip(COUNTS, opencv, (0.03, -0.02, -0.02), strict=True):
            assert rates[count] > theirs + above
