"""Tables that the workflow wrote are read as they were written, and a file that is none is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from oac.csv_tables import read_table, read_text_table, read_user_table


def test_text_stays_text_and_an_empty_number_is_nan(tmp_path):
    table = pd.DataFrame(
        {
            "label": ["01", "None", "NA", ""],
            "name": ["1e3", "null", "nan", "a, b"],
            "ap": [0.1, np.nan, 1 / 3, 1.0],
            "count": [1, 2, 3, 4],
        }
    )
    table.to_csv(tmp_path / "ap.csv", index=False)
    pd.testing.assert_frame_equal(read_table(tmp_path / "ap.csv"), table, check_dtype=False, check_exact=True)
    assert read_table(tmp_path / "ap.csv")["count"].dtype == "int64"


def test_a_column_without_numbers_is_named(tmp_path):
    (tmp_path / "ap.csv").write_text("label,ap\na,0.5\nb,half\n")
    with pytest.raises(ValueError, match=r"ap\.csv.*column ap"):
        read_table(tmp_path / "ap.csv")


def test_a_table_without_rows_has_its_columns(tmp_path):
    (tmp_path / "missing.csv").write_text("image_id,reason\n")
    assert list(read_table(tmp_path / "missing.csv").columns) == ["image_id", "reason"]


@pytest.mark.parametrize("content", [b"", b"label\n\xff\n", b"label\na,b,c\nd,e,f,g\n"])
def test_a_file_that_is_no_table_is_named(tmp_path, content):
    (tmp_path / "boxes.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"boxes\.csv"):
        read_text_table(tmp_path / "boxes.csv")


@pytest.mark.parametrize("first", ["sep=;", "SEP=;\r", "\nsep=,"])
def test_the_line_that_tells_a_spreadsheet_the_separator_is_no_header(tmp_path, first):
    separator = first.strip()[-1]
    (tmp_path / "a.csv").write_text(f"{first}\na{separator}b\n1{separator}2\n")
    table = read_user_table(tmp_path / "a.csv")
    assert (list(table.columns), table.values.tolist()) == (["a", "b"], [["1", "2"]])
    assert table.index.tolist() == [first.count("\n") + 3]


def test_cells_may_be_long_and_names_of_columns_have_marks_that_nobody_sees(tmp_path):
    """A column of polygons; a byte order mark that was written twice."""
    (tmp_path / "boxes.csv").write_text(f"\ufeff\ufeffpath,mask\u200b\na.jpg,{'7' * 200_000}\n", encoding="utf-8")
    table = read_user_table(tmp_path / "boxes.csv")
    assert list(table.columns) == ["path", "mask"]
    assert len(table["mask"].iloc[0]) == 200_000
