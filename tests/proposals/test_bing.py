"""BING inference against a reference that does each size, cell and window in turn."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from oac.proposals.bing import DIVERSE, Bing, WeightsError
from oac.proposals.gradients import normed_gradients, window_scores
from oac.proposals.suppression import pairwise_iou

PHOTOS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"

SIZES = tuple((w, h) for w in (16, 32, 64) for h in (16, 32, 64))


def model(seed=0, sizes=SIZES, per_size=20):
    rng = np.random.default_rng(seed)
    return Bing(
        sizes,
        rng.normal(size=(8, 8)).astype(np.float32) / 1000,
        np.stack([rng.uniform(-0.3, 1, len(sizes)), rng.normal(size=len(sizes))], axis=1),
        per_size,
        {"seed": seed},
    )


def slow_resize(image, height, width):
    """Bilinear with pixel centres at halves, one cell at a time."""
    result = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            py = min(max((y + 0.5) * image.shape[0] / height - 0.5, 0), image.shape[0] - 1)
            px = min(max((x + 0.5) * image.shape[1] / width - 0.5, 0), image.shape[1] - 1)
            top, left = int(py), int(px)
            below, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            upper = image[top, left] * (1 - px + left) + image[top, right] * (px - left)
            lower = image[below, left] * (1 - px + left) + image[below, right] * (px - left)
            result[y, x] = upper * (1 - py + top) + lower * (py - top)
    return result


def slow_gradient(cells):
    """min(|gx| + |gy|, 255), each the largest over the colours, doubled one-sided at the border."""
    height, width, _ = cells.shape
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            top, below = max(y - 1, 0), min(y + 1, height - 1)
            gx = abs(cells[y, right] - cells[y, left]).max() * 2 / (right - left)
            gy = abs(cells[below, x] - cells[top, x]).max() * 2 / (below - top)
            result[y, x] = min(gx + gy, 255)
    return result


def slow_maps(bing, image):
    """Stage I before suppression: {size index: (gradients, {(y, x): score})}, size by size, cell by cell."""
    result = {}
    height, width, _ = image.shape
    for index, (w, h) in enumerate(bing.sizes):
        if w <= 2 * width and h <= 2 * height:
            rows, columns = round(8 * height / min(h, height)), round(8 * width / min(w, width))
            gradient = slow_gradient(slow_resize(image.astype(float), rows, columns))
            cells = [(y, x) for y in range(rows - 7) for x in range(columns - 7)]
            result[index] = (
                gradient,
                {(y, x): (gradient[y : y + 8, x : x + 8] * bing.weights).sum() for y, x in cells},
            )
    return result


def slow_windows(bing, image):
    """Stage I: a list of (box, score, size index), size by size."""
    result = []
    for index, (gradient, scores) in slow_maps(bing, image).items():
        rows, columns = gradient.shape
        kept = []
        for y, x in sorted(scores, key=lambda cell: (-scores[cell], cell)):
            if len(kept) < bing.per_size and all(max(abs(y - b), abs(x - a)) > 2 for b, a in kept):
                kept.append((y, x))
        for y, x in kept:
            box = (x / columns, y / rows, (x + 8) / columns, (y + 8) / rows)
            result.append((box, scores[y, x], index))
    return result


@pytest.mark.parametrize(("height", "width", "seed"), [(61, 83, 0), (40, 97, 1), (128, 33, 2), (20, 19, 3)])
def test_windows_and_proposals_equal_the_slow_reference(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    bing = model(seed)
    expected = slow_windows(bing, image)
    windows = bing.windows(image)
    boxes, scores, sizes = windows.boxes(), windows.scores, windows.sizes()
    assert [size for _, _, size in expected] == sizes.tolist()
    np.testing.assert_allclose(boxes, [box for box, _, _ in expected], atol=1e-12)
    np.testing.assert_allclose(scores, [score for _, score, _ in expected], atol=1e-4)

    final = np.array([bing.calibration[i, 0] * score + bing.calibration[i, 1] for _, score, i in expected])
    # On a small image two sizes can be the same window: it is proposed once, with the better score.
    ranked = list({expected[i][0]: i for i in np.argsort(final)}.values())
    ranked.sort(key=lambda i: -final[i])
    for count in (1, 7, 1000):
        order = ranked[:count]
        boxes, scores = bing.propose(image, count)
        np.testing.assert_allclose(scores, final[order], atol=1e-3)
        np.testing.assert_allclose(boxes, [expected[i][0] for i in order], atol=1e-12)


def real_photo():
    """A photo of VOC2007, or of Open Images, shrunk to what a loop over its cells can bear."""
    files = sorted(PHOTOS.glob("voc2007/JPEGImages/*.jpg"))[:1] or sorted(PHOTOS.glob("openimages/photos/*.jpg"))[:1]
    if not files:
        pytest.skip(f"there are no photos under {PHOTOS}")
    with Image.open(files[0]) as image:
        return np.asarray(image.convert("RGB").resize((101, 74)))


@pytest.mark.parametrize("kind", ["noise", "two levels", "real"])
def test_maps_equal_the_slow_reference_cell_by_cell(kind):
    rng = np.random.default_rng(7)
    image = {
        "noise": lambda: rng.integers(0, 256, (55, 90, 3), dtype=np.uint8),
        "two levels": lambda: (rng.random((47, 80, 3)) < 0.5).astype(np.uint8) * 255,  # sums above 255 are cut
        "real": real_photo,
    }[kind]()
    bing = model(7)
    mosaic = bing.mosaic(image)
    gradients = normed_gradients(image, mosaic)
    scores = window_scores(gradients, bing.weights)
    expected = slow_maps(bing, image)
    assert mosaic.blocks[:, 0].tolist() == list(expected)
    for index, (size, top, left, rows, columns) in enumerate(mosaic.blocks):
        gradient, values = expected[size]
        np.testing.assert_allclose(gradients[top : top + rows, left : left + columns], gradient, atol=2e-3)
        for (y, x), value in values.items():
            assert mosaic.block_of[top + y, left + x] == index
            assert scores[top + y, left + x] == pytest.approx(value, abs=2e-4)
    assert (mosaic.block_of >= 0).sum() == sum(len(values) for _, values in expected.values())


def added(seed):
    """A model with all three additions."""
    rng = np.random.default_rng(seed)
    bing = model(seed)
    return replace(
        bing,
        calibration=np.abs(bing.calibration) + 0.1,
        position=rng.normal(size=(len(bing.sizes), 7)),
        regression=rng.normal(size=(64 + 8 + len(bing.sizes), 4)) / 30,
        nms_iou=0.4,
    )


def slow_additions(bing, image):
    """Boxes and scores of a model with additions, window by window."""
    height, width, _ = image.shape
    found = []
    for index, (gradient, scores) in slow_maps(bing, image).items():
        rows, columns = gradient.shape
        final = {}
        for (y, x), score in scores.items():
            box = np.array([x / columns, y / rows, (x + 8) / columns, (y + 8) / rows])
            cx, cy, w, h = (box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - 0.5, box[2] - box[0], box[3] - box[1]
            terms = bing.position[index] @ [cx, cy, 4 * cx**2, 4 * cy**2, w, h, w * h]
            final[y, x] = bing.calibration[index] @ [score, 1] + terms, box
        kept = []
        for y, x in sorted(final, key=lambda cell: (-final[cell][0], cell)):
            if len(kept) < bing.per_size and all(max(abs(y - b), abs(x - a)) > 2 for b, a in kept):
                kept.append((y, x))
                score, box = final[y, x]
                found.append((score, slow_move(bing, gradient[y : y + 8, x : x + 8], box, index, width, height)))
    found.sort(key=lambda item: -item[0])
    head, rest = [], []
    for score, box in found:
        if len(head) < DIVERSE and all(
            pairwise_iou(box[None], other[None])[0, 0] <= bing.nms_iou for _, other in head
        ):
            head.append((score, box))
        else:
            rest.append((score, box))
    return [*head, *rest]


def slow_move(bing, cells, box, index, width, height):
    """A window's edges moved by the regression, in the order in which its inputs are documented."""
    w, h = box[2] - box[0], box[3] - box[1]
    distance = [box[0], box[1], 1 - box[2], 1 - box[3]]
    near = [min(d / side, 1) for d, side in zip(distance, (w, h, w, h), strict=True)]
    inputs = [*(cells / 255).ravel(), *near, *(d <= 1e-6 for d in distance), *np.eye(len(bing.sizes))[index]]
    dx, dy, dw, dh = np.array(inputs, dtype=float) @ bing.regression
    cx, cy = (box[0] + box[2]) / 2 + np.clip(dx, -0.5, 0.5) * w, (box[1] + box[3]) / 2 + np.clip(dy, -0.5, 0.5) * h
    w, h = w * np.exp(np.clip(dw, -1, 1)), h * np.exp(np.clip(dh, -1, 1))
    low = np.array([min(max(cx - w / 2, 0), 1 - 1 / width), min(max(cy - h / 2, 0), 1 - 1 / height)])
    return np.array([*low, min(max(cx + w / 2, low[0] + 1 / width), 1), min(max(cy + h / 2, low[1] + 1 / height), 1)])


@pytest.mark.parametrize(("height", "width", "seed"), [(61, 83, 0), (40, 97, 1), (75, 150, 2)])
def test_additions_equal_the_slow_reference(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    bing = added(seed)
    expected = slow_additions(bing, image)
    for count in (1, 10, 1000):
        boxes, scores = bing.propose(image, count)
        assert len(boxes) == min(count, len(expected))
        np.testing.assert_allclose(scores, [score for score, _ in expected[:count]], atol=1e-3)
        np.testing.assert_allclose(boxes, [box for _, box in expected[:count]], atol=1e-4)


def test_a_head_without_repeats_is_the_beginning_of_a_longer_list():
    image = np.random.default_rng(6).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    bing = replace(added(6), per_size=250)
    long_boxes, long_scores = bing.propose(image, 2000)
    for count in (1, 9, 100, 101, 400):
        boxes, scores = bing.propose(image, count)
        np.testing.assert_array_equal(boxes, long_boxes[:count])
        np.testing.assert_array_equal(scores, long_scores[:count])
    table = pairwise_iou(long_boxes[:DIVERSE], long_boxes[:DIVERSE])
    assert np.triu(table, 1).max() <= bing.nms_iou
    by_score, _ = bing.propose(image, 50, nms_iou=1.0)
    assert np.triu(pairwise_iou(by_score, by_score), 1).max() > bing.nms_iou


@settings(max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    count=st.integers(1, 300),
    levels=st.integers(1, 256),
    nms_iou=st.sampled_from([None, 0.0, 0.5]),
    data=st.data(),
)
def test_boxes_lie_inside_and_are_never_empty(height, width, count, levels, nms_iou, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    image = (rng.integers(0, levels, (height, width, 3)) * 255 // levels).astype(np.uint8)
    sizes = data.draw(st.sampled_from([SIZES, ((512, 512),), ((16, 256), (256, 16))]))
    boxes, scores = model(sizes=sizes).propose(image, count, nms_iou=nms_iou)
    moved, _ = Bing.load().propose(image, count)
    assert (moved >= 0).all()
    assert (moved <= 1).all()
    assert ((moved[:, 2:] - moved[:, :2]) * [width, height] > 0.999).all()
    assert 1 <= len(boxes) == len(scores) <= count
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    # A window covers about eight cells of the smallest block, or the whole of a small side.
    assert ((boxes[:, 2:] - boxes[:, :2]) * [width, height] >= np.minimum([width, height], 16) * 0.7).all()
    assert (np.diff(scores) <= 0).sum() >= len(scores) - 2  # by score, those that overlap a better one behind
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_a_short_list_is_the_beginning_of_a_long_one():
    image = np.random.default_rng(4).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    bing = model(4)
    assert (bing.calibration[:, 0] < 0).any()  # sizes ranked upside down must not be cut short
    long_boxes, long_scores = bing.propose(image, 150)
    for count in (1, 5, 40):
        boxes, scores = bing.propose(image, count)
        np.testing.assert_array_equal(boxes, long_boxes[:count])
        np.testing.assert_array_equal(scores, long_scores[:count])


def test_saved_weights_propose_the_same_boxes(tmp_path):
    image = np.random.default_rng(5).integers(0, 256, (70, 60, 3), dtype=np.uint8)
    bing = added(5)
    bing.save(tmp_path / "bing.json")
    again = Bing.load(tmp_path / "bing.json")
    assert (again.sizes, again.per_size, again.about) == (bing.sizes, bing.per_size, bing.about)
    for ours, theirs in zip(bing.propose(image, 50), again.propose(image, 50), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_packaged_weights_find_a_drawn_object():
    image = np.full((240, 320, 3), 120, dtype=np.uint8)
    image[60:190, 90:220] = (230, 40, 40)
    boxes, _ = Bing.load().propose(image, 10)
    low = np.maximum(boxes[:, :2], [90 / 320, 60 / 240])
    high = np.minimum(boxes[:, 2:], [220 / 320, 190 / 240])
    common = np.clip(high - low, 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + 130 * 130 / (320 * 240) - common
    assert (common / union).max() >= 0.5


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 1), (0, 5, 3), (5, 5, 4)])
def test_other_arrays_than_rgb_images_are_refused(shape):
    with pytest.raises(ValueError, match="convert it to RGB"):
        model().propose(np.zeros(shape, np.uint8), 10)
    with pytest.raises(ValueError, match="float64"):
        model().propose(np.zeros((5, 5, 3)), 10)


def test_wrong_weight_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        Bing.load(tmp_path / "nothing.json")
    wrong = tmp_path / "wrong.json"
    model().save(wrong)
    content = json.loads(wrong.read_text())
    for change in ({"format": "other"}, {"sizes": [[16, 16]]}, {"filter": [[1.0]]}, {"regression": [[1.0] * 4]}):
        wrong.write_text(json.dumps(content | change))
        with pytest.raises(WeightsError, match=r"wrong\.json"):
            Bing.load(wrong)
    wrong.write_text("{")
    with pytest.raises(WeightsError, match=r"wrong\.json"):
        Bing.load(wrong)
