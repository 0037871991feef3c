"""Measure training on this machine beside a plain loop; print a table and write it as JSON."""

import argparse
import json
import tempfile
from pathlib import Path

from oac.atomic import writing
from oac.command import plain_errors
from oac.pretrain.bench.measure import Bench
from oac.pretrain.bench.setting import Setting
from oac.pretrain.bench.table import table


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/bench/bench.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = Bench(Setting.of_machine(), Path(folder)).run()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with writing(options.out) as path:
        path.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    with plain_errors():
        main()
