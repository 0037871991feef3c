"""Write the page of a study, verdicts, tables and figures, in Markdown and as one HTML file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oac.atomic import writing
from oac.command import plain_errors
from oac.csv_tables import read_table, read_text_table
from oac.data import stored_photos, subset_summary
from oac.report.encoders import encoders_table
from oac.report.fonts import undrawable
from oac.report.loading import read_histories
from oac.report.notes import (
    boxed_photos,
    coverage,
    long_queues,
    missing_photos,
    other_files,
    replaced_photos,
    shown_by_all,
    undrawn_names,
)
from oac.report.page import bullets, html_page, made_table, markdown_page, paragraph, sections
from oac.report.results import Names

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Put the parts into sections; the Markdown links its figures, the HTML file holds them."""
    page = Path(smk.output.markdown)
    histories = read_histories(smk.input.histories)
    alike = shown_by_all(json.loads(Path(path).read_text(encoding="utf-8")) for path in smk.input.metrics)
    replaced = replaced_photos(histories)
    recall = json.loads(Path(smk.input.recall).read_text()) if smk.input.recall else coverage(smk.input.uncounted)
    boxed = boxed_photos(recall)
    subset, photos = (
        json.loads(Path(file).read_text(encoding="utf-8")) for file in (smk.input.subset, smk.input.photos)
    )
    data = subset_summary.notes(subset) + stored_photos.notes(photos)
    others = other_files(subset.get("other_files", 0))
    undrawn = undrawn_names(undrawable(read_table(smk.input.classes)["name"]))
    if smk.input.verdicts:
        verdicts = Path(smk.input.verdicts).read_text(encoding="utf-8").splitlines()
        front = bullets([line.removeprefix("- ") for line in verdicts if line])
    else:
        front = made_table(encoders_table(smk.wildcards.study, Names(**smk.params.names), histories))
    missing = missing_photos(read_text_table(smk.input.missing))
    notes = [missing, others, *data, replaced, boxed, long_queues(histories), alike, undrawn]
    content = sections(
        [front],
        [paragraph(note) for note in notes if note],
        *([Path(path) for path in paths] for paths in (smk.input.tables, smk.input.figures)),
        page,
        smk.params.main,
    )
    title, description = smk.params.names["title"], " ".join(smk.params.description.split())
    pages = {
        page: markdown_page(title, description, content),
        Path(smk.output.html): html_page(title, description, content, "provenance.html"),
    }
    for name, text in pages.items():
        with writing(name) as path:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
