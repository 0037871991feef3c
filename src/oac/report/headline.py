"""The number that a study is judged by: the mAP, or the top-1 accuracy where each photo has one label."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from oac.report.formats import Column, points
from oac.report.paper import PaperValue


@dataclass(frozen=True)
class Headline:
    """How that number is called."""

    key: str
    """of a run: a fraction in [0, 1]"""
    name: str
    """in a sentence"""
    header: str
    """at the head of a column"""
    words: str
    """in a caption"""
    data: str
    """the paper's data that its value is of"""

    def paper(self, value: PaperValue | None) -> float | None:
        """The paper's value in percent, or None."""
        if value is None:
            return None
        return value.map_percent if self is MAP else value.top1_percent

    def further(self) -> list[Column]:
        """The columns between the difference to supervised and the paper's value."""
        if self is MAP:
            header = "Mean over batches of 256 (%), as released code"
            return [Column(header, lambda row: points(row.map_batch_256_percent))]
        return [
            Column("Top-5 (%)", lambda row: points(row.top5_percent)),
            Column("mAP (%)", lambda row: points(row.map_percent)),
        ]


MAP = Headline("map", "mAP", "mAP (%)", "mAP", "OHMS")
TOP1 = Headline("top1", "top-1", "Top-1 (%)", "top-1 accuracy", "ImageNet")


def headline(runs: pd.DataFrame) -> Headline:
    """Which of the two the rows of `oac.report.tables.collect` have: accuracies are there for single labels only."""
    return TOP1 if TOP1.key in runs else MAP
