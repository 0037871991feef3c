"""Ids of photos: short where that is enough, never the same for two paths, and known however a user writes them."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from oac.data.photo_files import as_known, short_ids

PARTS = st.sampled_from(["a", "b", "a.b", "x", "1"])
PATHS = st.lists(
    st.builds(
        lambda folders, name, end: "/".join([*folders, name]) + end,
        st.lists(PARTS, max_size=2),
        PARTS,
        st.sampled_from([".jpg", ".png", ""]),
    ),
    unique=True,
)


@given(PATHS)
def test_no_two_paths_have_one_id(paths):
    assert len(set(short_ids(paths))) == len(paths)
    names = [path.replace("/", "__") for path in paths]
    assert len(set(short_ids(paths, names))) == len(paths)


def test_an_id_is_the_name_where_that_is_enough():
    assert short_ids(["train/a/1.jpg", "train/b/2.jpg"]) == ["1", "2"]
    assert short_ids(["train/a/1.jpg", "val/b/1.jpg", "val/b/2.jpg"]) == ["train/a/1", "val/b/1", "2"]
    assert short_ids(["a/1.jpg", "a/1.png"]) == ["a/1.jpg", "a/1.png"]
    assert short_ids(["a/b.jpg", "a__b.jpg"], ["a__b", "a__b"]) == ["a/b", "a__b"]


def test_a_name_is_known_as_it_stands_as_a_plain_path_and_in_either_form_of_unicode():
    one, two = (unicodedata.normalize(form, "é/ü.jpg") for form in ("NFC", "NFD"))
    written = {"a\\b": "a/b", " ./a/b ": "a/b", "./c": "./c", "gone\\d": "gone/d", two: one, f"./{two}": one}
    assert as_known(written, ["a/b", "./c", one]) == written
    assert as_known([one, "gone"], [two]) == {one: two, "gone": "gone"}
    assert as_known([one, two], [one, two]) == {one: one, two: two}, "two photos, each of its name"
