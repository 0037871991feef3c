"""Ask the servers of Open Images whether its files are there and as large as expected; needs a connection."""

import argparse
import sys

from oac.command import plain_errors
from oac.data import official


def main() -> None:
    """Print a line for each address; leave with 1 where one of them is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default=official.BASE, help="address of the annotation files")
    parser.add_argument("--photos", default=official.PHOTOS, help="address of the photos")
    options = parser.parse_args()
    wrong = 0
    for url, problem in official.check(options.base, options.photos):
        print(f"{'ok   ' if not problem else 'WRONG'} {url}{': ' + problem if problem else ''}", flush=True)
        wrong += bool(problem)
    if wrong:
        print(f"{wrong} addresses are not as expected; see oac/data/official.py", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    with plain_errors():
        main()
