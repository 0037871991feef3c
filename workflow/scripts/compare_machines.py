"""Compare the results of one study on two machines, run by run, and print the table."""

import argparse
import json
from pathlib import Path

from oac.command import plain_errors
from oac.report.formats import markdown, write
from oac.report.loading import load
from oac.report.machines import machines_table, published_runs


def main() -> None:
    """Read metrics.json of all runs below a folder of results, and those of another or of a published table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("here", type=Path, help="results/STUDY of this machine")
    parser.add_argument("there", type=Path, help="the same folder of another machine, or its report's runs.csv")
    parser.add_argument("--out", type=Path, help="stem of the files to write: .csv, .md, .tex, .html")
    options = parser.parse_args()
    there = published_runs(options.there) if options.there.suffix == ".csv" else read(options.there)
    table = machines_table(load(read(options.here)), there)
    if options.out:
        write(table, options.out)
    print(markdown(table))


def read(folder: Path) -> list[dict]:
    """The runs below a study's folder."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("probe/*/*/seed*/metrics.json"))]


if __name__ == "__main__":
    with plain_errors():
        main()
