"""Write the page of a study: verdicts, tables and figures in one Markdown file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from oac.atomic import writing
from oac.command import plain_errors
from oac.data.bad_boxes import sentence
from oac.report.encoders import encoders_table
from oac.report.formats import markdown
from oac.report.loading import read_histories
from oac.report.notes import missing_photos, other_files, photos_without_boxes, replaced_photos

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Put the parts below one another; figures are linked relative to the page."""
    page = Path(smk.output[0])
    tables = [Path(path).read_text(encoding="utf-8") for path in smk.input.tables]
    figures = [Path(path).relative_to(page.parent) for path in smk.input.figures]
    histories = read_histories(smk.input.histories)
    replaced = replaced_photos(histories)
    unboxed = photos_without_boxes(json.loads(Path(smk.input.recall).read_text())) if smk.input.recall else None
    # Subsets that were chosen before boxes were counted had none that were bad, or were refused.
    subset = json.loads(Path(smk.input.subset).read_text(encoding="utf-8"))
    bad_boxes = sentence(subset["bad_boxes"]) if "bad_boxes" in subset else None
    others = other_files(subset.get("other_files", 0))
    if smk.input.verdicts:
        results = [Path(smk.input.verdicts).read_text(encoding="utf-8").strip()]
    else:
        results = [markdown(encoders_table(smk.wildcards.study, histories)).strip()]
    parts = [
        f"# Study {smk.wildcards.study}",
        smk.params.description.strip(),
        missing_photos(len(pd.read_csv(smk.input.missing))),
        *(note for note in (others, bad_boxes, replaced, unboxed) if note),
        *results,
        *(table.strip() for table in tables),
        *(f"![{figure.stem}]({figure.as_posix()})" for figure in figures),
    ]
    with writing(page) as path:
        path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
