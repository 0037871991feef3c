"""Sources through OpenCV and from files: the same form of output, clear messages, no error on odd photos."""

import builtins
import unicodedata
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from oac.proposals import opencv
from oac.proposals.box_sources import from_csv
from oac.proposals.proposers import proposer


def picture(height=160, width=220):
    """A dark square and a bright disc on grey."""
    image = np.full((height, width, 3), 110, dtype=np.uint8)
    image[40:110, 30:100] = (20, 30, 60)
    y, x = np.indices((height, width))
    image[(y - 90) ** 2 + (x - 160) ** 2 < 35**2] = (220, 200, 90)
    return image


OBJECTS = np.array([[30 / 220, 40 / 160, 100 / 220, 110 / 160], [125 / 220, 55 / 160, 195 / 220, 125 / 160]])
ODD = {
    "one row": np.zeros((1, 4000, 3), dtype=np.uint8),
    "one column": np.random.default_rng(0).integers(0, 256, (4000, 1, 3), dtype=np.uint8),
    "8 x 8": np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8),
    "one colour": np.full((100, 140, 3), 77, dtype=np.uint8),
    "gray": np.repeat(np.random.default_rng(2).integers(0, 256, (60, 90, 1), dtype=np.uint8), 3, axis=2),
    "low": np.random.default_rng(3).integers(0, 256, (17, 2000, 3), dtype=np.uint8),
}


def check(boxes, scores, count):
    assert boxes.shape == (len(scores), 4)
    assert len(boxes) <= count
    assert (boxes >= 0).all()
    assert (boxes <= 1).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(np.unique(boxes.astype(np.float32), axis=0)) == len(boxes)


@pytest.mark.parametrize("image", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("source", ["bing", "edge_boxes", "selective_search"])
def test_odd_photos_get_valid_boxes_or_none(source, image):
    if source != "bing":
        pytest.importorskip("cv2", reason="OpenCV is not installed")
    check(*proposer(source, {})(image, 50), 50)


@pytest.mark.parametrize("source", ["bing", "edge_boxes", "selective_search"])
def test_sources_find_plain_objects_twice_alike(source):
    if source != "bing":
        pytest.importorskip("cv2", reason="OpenCV is not installed")
    propose = proposer(source, {})
    boxes, scores = propose(picture(), 100)
    check(boxes, scores, 100)
    low, high = np.maximum(boxes[:, None, :2], OBJECTS[:, :2]), np.minimum(boxes[:, None, 2:], OBJECTS[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    union = (
        (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)[:, None] + (OBJECTS[:, 2:] - OBJECTS[:, :2]).prod(axis=1) - common
    )
    assert (common / union).max(axis=0).min() >= 0.5
    again = propose(picture(), 100)
    np.testing.assert_array_equal(boxes, again[0])
    np.testing.assert_array_equal(propose(picture(), 7)[0], boxes[:7])


def test_gradient_edges_are_thin_and_point_across():
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    image[:, 30:] = 200  # a step to the right: the direction across it is 0 (or pi)
    strength, direction = opencv.gradient_edges(cv2, image)
    on = strength[20] > 0.01
    assert set(np.flatnonzero(on)) <= {29, 30}
    assert np.allclose(np.sin(direction[20][on]), 0, atol=1e-3)
    turned, up = opencv.gradient_edges(cv2, np.ascontiguousarray(image.transpose(1, 0, 2)))
    np.testing.assert_allclose(turned, strength.T, atol=1e-5)
    assert np.allclose(up[turned > 0.01], np.pi / 2, atol=1e-3)


def test_without_opencv_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **kwargs):
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return real(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(opencv.OpenCVMissingError, match=r'pip install -e "\.\[proposals\]"'):
        proposer("selective_search", {})(picture(), 10)


def test_missing_model_files_are_named(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yml\.gz"):
        proposer("edge_boxes", {"model": str(tmp_path / "nowhere.yml.gz")})(picture(), 10)
    with pytest.raises(FileNotFoundError, match="holds no BING model"):
        proposer("opencv_bing", {"model": str(tmp_path)})(picture(), 10)
    with pytest.raises(ValueError, match="csv is no source that proposes from pixels"):
        proposer("csv", {})


def write(path, rows, columns):
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return path


CORNERS = ["xmin", "xmax", "ymin", "ymax"]


def test_boxes_from_a_file_are_ranked_cut_and_freed_of_repeats(tmp_path):
    rows = [
        ("007", 0.1, 0.2, 0.1, 0.2, 0.3),
        ("b", 0.0, 1.0, 0.0, 1.0, 0.1),
        ("007", 0.5, 0.9, 0.5, 0.9, 0.8),
        ("007", 0.5, 0.9, 0.5, 0.9, 0.7),
        ("007", 0.3, 0.4, 0.3, 0.4, 0.5),
        ("other", 0.3, 0.4, 0.3, 0.4, 0.5),
    ]
    file = write(tmp_path / "boxes.csv", rows, ["image_id", *CORNERS, "score"])
    table = from_csv(file, ["b", "a", "007"], count=2, min_coverage=0.5)
    assert table["image_id"].tolist() == ["007", "007", "b"]  # an id of digits stays as it is written
    assert table["rank"].tolist() == [0, 1, 0]
    np.testing.assert_allclose(table["xmin"], [0.5, 0.3, 0.0], rtol=1e-6)
    np.testing.assert_allclose(table["score"], [0.8, 0.5, 0.1], rtol=1e-6)
    ranked = write(
        tmp_path / "ranked.csv", [(*row[:5], n) for n, row in enumerate(rows)][::-1], ["image_id", *CORNERS, "rank"]
    )
    np.testing.assert_allclose(from_csv(ranked, ["007"], count=3)["xmin"], [0.1, 0.5, 0.3], rtol=1e-6)


def test_boxes_of_a_file_are_joined_whichever_form_of_unicode_they_have(tmp_path):
    one, two = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    file = write(tmp_path / "boxes.csv", [(two, 0.1, 0.2, 0.1, 0.2)], ["image_id", *CORNERS])
    assert from_csv(file, [one], count=1)["image_id"].tolist() == [one]


def test_wrong_files_of_boxes_are_refused(tmp_path):
    good = [("a", 0.1, 0.2, 0.1, 0.2)]
    with pytest.raises(ValueError, match=r"boxes\.csv: column ymax is missing"):
        from_csv(write(tmp_path / "boxes.csv", [row[:4] for row in good], ["image_id", *CORNERS[:3]]), ["a"], count=1)
    wrong = [*good, ("a", 0.4, 0.2, 0.1, 0.2)]
    with pytest.raises(ValueError, match=r"boxes\.csv: 1 of 2 boxes .* line 3 of photo a, x 0\.4 to 0\.2, y 0\.1"):
        from_csv(write(tmp_path / "boxes.csv", wrong, ["image_id", *CORNERS]), ["a"], count=1)
    with pytest.raises(
        ValueError, match=r"boxes of 0 of the study's 1 photos.*no box have b; of no photo .* are a\."
    ):
        from_csv(write(tmp_path / "boxes.csv", good, ["image_id", *CORNERS]), ["b"], count=1, min_coverage=0)
    wrong = [*good, ("a", "wide", 0.2, 0.1, 0.2)]
    with pytest.raises(ValueError, match=r"boxes\.csv, line 3: xmin must be a number, not 'wide'"):
        from_csv(write(tmp_path / "boxes.csv", wrong, ["image_id", *CORNERS]), ["a"], count=1)


def test_boxes_of_too_few_photos_are_refused_with_the_ids_that_do_not_fit(tmp_path, capsys):
    """58 of 60 ids with a suffix: only two photos would be cropped around boxes, without a word."""
    ids = [f"{number:03d}" for number in range(60)]
    rows = [(name + ".jpg" * (number >= 2), 0.1, 0.9, 0.1, 0.9) for number, name in enumerate(ids)]
    file = write(tmp_path / "boxes.csv", rows, ["image_id", *CORNERS])
    with pytest.raises(ValueError, match=r"2 of the study's 60 photos, .* 002, 003, 004; .* are 002\.jpg, 003\.jpg"):
        from_csv(file, ids, count=1)
    assert len(from_csv(file, ids, count=1, min_coverage=0.03)) == 2
    assert len(from_csv(file, ids[:2], count=1)) == 2
    assert (
        "58 photos have no box, the first: 002, 003, 004; of no photo of the study are 002.jpg,"
        in capsys.readouterr().err
    )
    enough = write(tmp_path / "enough.csv", [(name, *rows[0][1:]) for name in ids[3:]], ["image_id", *CORNERS])
    assert len(from_csv(enough, ids, count=1)) == 57
    with pytest.raises(ValueError, match="56 of the study's 60"):
        from_csv(
            write(tmp_path / "few.csv", [(name, *rows[0][1:]) for name in ids[4:]], ["image_id", *CORNERS]),
            ids,
            count=1,
        )


def test_photos_of_each_split_need_boxes(tmp_path, capsys):
    """Many test photos with boxes do not make up for train photos without."""
    train, test = [f"a{number}" for number in range(100)], [f"b{number}" for number in range(900)]
    rows = [(name, 0.1, 0.9, 0.1, 0.9) for name in train[:55] + test]
    file = write(tmp_path / "boxes.csv", rows, ["image_id", *CORNERS])
    splits = ["train"] * 100 + ["test"] * 900
    with pytest.raises(ValueError, match=r"55 of the study's 100 train photos, less .* no box have a55, a56"):
        from_csv(file, train + test, count=1, splits=splits)
    capsys.readouterr()
    assert len(from_csv(file, train + test, count=1, splits=splits, min_coverage=0.5)) == 955
    assert "45 train photos have no box, the first: a55, a56, a57" in capsys.readouterr().err
    assert len(from_csv(file, train + test, count=1)) == 955


def test_boxes_from_a_file_are_checked_as_they_are_handed_on(tmp_path):
    """In single precision two boxes can be one, and a box of 1e-9 has no width."""
    rows = [("NA", 0.3, 0.4, 0.3, 0.4), ("NA", 0.3 + 1e-10, 0.4, 0.3, 0.4), ("NA", 0.5, 0.6, 0.5, 0.6)]
    table = from_csv(write(tmp_path / "boxes.csv", rows, ["image_id", *CORNERS]), ["NA"], count=3)
    assert table["rank"].tolist() == [0, 1]
    assert not table.duplicated(CORNERS).any()
    rows[2] = ("NA", 0.5, 0.5 + 1e-9, 0.5, 0.6)
    with pytest.raises(ValueError, match=r"boxes\.csv: 1 of 3 boxes .* line 4 of photo NA, x 0\.5 to 0\.5"):
        from_csv(write(tmp_path / "boxes.csv", rows, ["image_id", *CORNERS]), ["NA"], count=3)


def test_a_few_bad_boxes_of_a_file_are_mended_and_counted(tmp_path, capsys):
    rows = [("a", 0.1, 0.2, 0.1, 0.2 + number / 100) for number in range(40)]
    rows += [("a", 0.3, 0.3, 0.1, 0.2), ("a", 0.5, 1.001, 0.5, 1)]
    file = write(tmp_path / "boxes.csv", rows, ["image_id", *CORNERS])
    table = from_csv(file, ["a"], count=50)
    assert len(table) == 41
    assert table[CORNERS].iloc[-1].tolist() == [0.5, 1, 0.5, 1]
    said = capsys.readouterr().err
    assert "of 42 boxes 1 reached beyond their photo" in said
    assert "1 without area were left out; the first: line 42 of photo a, x 0.3 to 0.3" in said
    from_csv(write(file, rows[:40], ["image_id", *CORNERS]), ["a"], count=50)
    assert not capsys.readouterr().err


def test_ids_of_a_file_of_boxes_are_paths_as_other_tables_have_them(tmp_path):
    ids = ["a/one.jpg", "b.jpg", "c\\d.jpg"]
    written = ["a\\one.jpg", "./b.jpg", "b.jpg", "c\\d.jpg"]
    file = write(tmp_path / "boxes.csv", [(name, 0.1, 0.2, 0.1, 0.2) for name in written], ["image_id", *CORNERS])
    assert from_csv(file, ids, count=5)["image_id"].tolist() == ids


def test_opencvs_bing_is_asked_and_read_as_it_means_it(tmp_path, monkeypatch):
    """A stand-in for OpenCV: it wants BGR, and gives corners in pixels from 1 on, the last one included."""
    image = picture(100, 200)
    seen = []

    class Finder:
        def setTrainingPath(self, path):
            assert path == str(tmp_path)

        def computeSaliency(self, given):
            seen.append(given)
            print("a line of chatter", flush=True)
            return True, np.array([[[1, 1, 50, 25]], [[101, 51, 200, 100]], [[1, 1, 50, 25]]], np.int32)

    saliency = SimpleNamespace(ObjectnessBING_create=Finder)
    monkeypatch.setattr(opencv, "import_opencv", lambda module: SimpleNamespace(**{module: saliency}))
    (tmp_path / "ObjNessB2W8MAXBGR.wS1.yml.gz").touch()
    boxes, scores = proposer("opencv_bing", {"model": str(tmp_path)})(image, 10)
    np.testing.assert_array_equal(seen[0], image[:, :, ::-1])
    assert seen[0].flags.c_contiguous
    np.testing.assert_allclose(boxes, [[0, 0, 0.25, 0.25], [0.5, 0.5, 1, 1]])
    assert scores.tolist() == [1.0, 0.5]
    assert len(proposer("opencv_bing", {"model": str(tmp_path)})(image, 1)[0]) == 1
    monkeypatch.setattr(Finder, "computeSaliency", lambda *_: (False, None))
    assert proposer("opencv_bing", {"model": str(tmp_path)})(image, 10)[0].shape == (0, 4)


def test_boxes_of_a_file_may_reach_out_by_rounding_and_a_wrong_value_is_shown_as_it_is(tmp_path):
    text = "image_id;xmin;xmax;ymin;ymax\na;-1e-7;1,0000001;0,5;1\n"
    (tmp_path / "boxes.csv").write_text(text)
    table = from_csv(tmp_path / "boxes.csv", ["a"], count=1)
    assert table[CORNERS].to_numpy().tolist() == [[0, 1, 0.5, 1]]
    (tmp_path / "boxes.csv").write_text(text.replace("1,0000001", "1,1"))
    with pytest.raises(ValueError, match=r"boxes\.csv: 1 of 1 boxes .* line 2 of photo a, x -1e-07 to 1\.1, y"):
        from_csv(tmp_path / "boxes.csv", ["a"], count=1)
    (tmp_path / "boxes.csv").write_text(text.replace("0,5;1", "0,5;1;0,5"))
    with pytest.raises(ValueError, match=r"line 2: field 6 is '0,5'"):
        from_csv(tmp_path / "boxes.csv", ["a"], count=1)
