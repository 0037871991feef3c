"""Write the encoder of the random-initialisation row."""

import argparse
import json
from pathlib import Path

from oac.command import plain_errors
from oac.pretrain.recipe import complete
from oac.pretrain.run import initialise_run


def main() -> None:
    """Parse the command line and initialise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=json.loads, required=True, help="JSON of what differs from the defaults")
    parser.add_argument("--out", type=Path, required=True, help="encoder to write")
    parser.add_argument("--history", type=Path, required=True, help="history to write")
    options = parser.parse_args()
    initialise_run(complete(options.recipe), options.out, options.history)


if __name__ == "__main__":
    with plain_errors():
        main()
