"""Compare the results of one study on two machines, run by run, and print the table."""

import argparse
from pathlib import Path

from oac.command import plain_errors
from oac.report.formats import markdown, write
from oac.report.loading import read_results
from oac.report.machines import machines_table
from oac.report.results import Results


def main() -> None:
    """Read metrics.json of all runs below two folders of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("here", type=Path, help="results/STUDY of this machine")
    parser.add_argument("there", type=Path, help="the same folder of another machine")
    parser.add_argument("--out", type=Path, help="stem of the files to write: .csv, .md, .tex, .html")
    options = parser.parse_args()
    table = machines_table(read(options.here), read(options.there))
    if options.out:
        write(table, options.out)
    print(markdown(table))


def read(folder: Path) -> Results:
    """The runs below a study's folder. Raises ValueError where there is none."""
    return read_results(sorted(folder.glob("probe/*/*/seed*/metrics.json")))


if __name__ == "__main__":
    with plain_errors():
        main()
