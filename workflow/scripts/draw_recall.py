"""Draw how many objects of the test photos the proposals of each source find."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.command import plain_errors
from oac.report.curves import recall_curve
from oac.report.style import save

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Draw the rates per image of the test split, whose boxes no source was trained on."""
    recall = json.loads(Path(smk.input[0]).read_text())
    rates = {source: entry["image"] for source, entry in recall["splits"]["test"].items()}
    save(recall_curve(rates, recall["iou"]), Path(smk.output[0]).with_suffix(""))


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
