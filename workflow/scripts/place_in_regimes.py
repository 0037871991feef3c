"""Say where a study's photos stand among the regimes, and what object crops gained on images like them."""

import argparse
from pathlib import Path

import pandas as pd

from oac.command import plain_errors
from oac.csv_tables import read_table
from oac.data.object_statistics import object_statistics
from oac.report.formats import points
from oac.report.regimes import BOXES, nearest
from oac.report.results import boxes_of


def main() -> None:
    """Print a line for each source of boxes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="results/STUDY, whose data stage has run")
    parser.add_argument("--regimes", type=Path, default="results/regimes/regimes.csv", help="table of a grid")
    options = parser.parse_args()
    tables = (pd.read_parquet(options.study / f"data/{name}.parquet") for name in ("boxes", "images"))
    statistics = object_statistics(*tables)
    table = read_table(options.regimes)
    side = f"{100 * statistics.side:.0f} % of the photo's"
    print(f"{options.study}: {statistics.objects:.1f} objects a photo, their side {side}")
    for boxes in BOXES:
        row = nearest(table, statistics, boxes)
        gain, half = row["gain_points"], row["gain_half_width_points"]
        interval = "" if pd.isna(half) else f" ± {points(half)}"
        images = f"synthetic images of {row['objects']:.1f} objects, side {100 * row['side']:.0f} %"
        print(f"{boxes_of(boxes)}: {points(gain, signed=True)}{interval} points over scene crops on {images}")


if __name__ == "__main__":
    with plain_errors():
        main()
