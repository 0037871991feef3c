"""Files of boxes for other programs, written photo by photo: CSV, Parquet and COCO's result format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from oac.atomic import writing

SUFFIXES = (".csv", ".parquet", ".json")
COLUMNS = ("image_id", "rank", "xmin", "ymin", "xmax", "ymax", "score")
OBJECT = 1  # category_id of every box in COCO's format: a box may hold anything
_GROUP = 20_000  # rows of Parquet at a time


class Row(NamedTuple):
    """The boxes of a photo: (n, 4) xmin, ymin, xmax, ymax in [0, 1], best first; scores (n,); size in pixels."""

    image_id: str
    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray


Write = Callable[[Row], None]


@contextmanager
def box_file(path: Path) -> Iterator[Write]:
    """Open a file of boxes for writing, whole or not at all; its suffix is one of SUFFIXES.

    CSV and Parquet have COLUMNS, ranks from 0, the form that `boxes: csv` of a study reads. COCO's has bbox as x, y,
    width and height in pixels.
    """
    opened = {".csv": _csv, ".parquet": _parquet, ".json": _coco}[path.suffix]
    with writing(path) as temporary, opened(temporary) as write:
        yield write


@contextmanager
def _csv(path: Path) -> Iterator[Write]:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        yield lambda row: writer.writerows(_cells(row))


@contextmanager
def _parquet(path: Path) -> Iterator[Write]:
    types = [pa.string(), pa.int64(), *[pa.float32()] * 5]
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    cells: list[tuple[object, ...]] = []

    def flush(writer: pq.ParquetWriter) -> None:
        columns = zip(*cells, strict=True) if cells else [[] for _ in COLUMNS]
        writer.write_table(pa.table([pa.array(column, t) for column, t in zip(columns, types, strict=True)], schema))
        cells.clear()

    with pq.ParquetWriter(path, schema) as writer:

        def write(row: Row) -> None:
            cells.extend(_cells(row))
            if len(cells) >= _GROUP:
                flush(writer)

        yield write
        flush(writer)


@contextmanager
def _coco(path: Path) -> Iterator[Write]:
    with open(path, "w", encoding="utf-8") as file:
        file.write("[")
        separator = "\n"

        def write(row: Row) -> None:
            nonlocal separator
            for box, score in zip(row.boxes * np.tile(row.size, 2), row.scores, strict=True):
                x, y, right, bottom = (round(float(edge), 2) for edge in box)
                bbox = [x, y, round(right - x, 2), round(bottom - y, 2)]
                entry = {"image_id": row.image_id, "category_id": OBJECT, "bbox": bbox, "score": float(score)}
                file.write(separator + json.dumps(entry, ensure_ascii=False))
                separator = ",\n"

        yield write
        file.write("\n]\n")


def _cells(row: Row) -> list[tuple[object, ...]]:
    """The rows of a table, as Python's numbers: shortest texts that give the same float32 back."""
    numbers = np.column_stack([row.boxes, row.scores]).astype(np.float32)
    return [(row.image_id, rank, *(float(str(value)) for value in line)) for rank, line in enumerate(numbers)]
