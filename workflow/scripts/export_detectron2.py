"""Convert an encoder file to a checkpoint that Detectron2 reads as MODEL.WEIGHTS."""

import argparse
from pathlib import Path

from oac.command import plain_errors
from oac.pretrain.export import to_detectron2


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder", type=Path, help="encoder.safetensors of a run")
    parser.add_argument("out", type=Path, help="checkpoint to write, for instance encoder.pkl")
    options = parser.parse_args()
    to_detectron2(options.encoder, options.out)
    print(options.out)


if __name__ == "__main__":
    with plain_errors():
        main()
