"""Tables that the workflow wrote are read as they were written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from oac.csv_tables import read_table


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
