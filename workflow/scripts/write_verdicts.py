"""Write what the comparisons of a study say, as sentences."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from oac.atomic import writing
from oac.command import plain_errors
from oac.report.formats import html_page
from oac.report.loading import read_results
from oac.report.pairs import verdicts
from oac.report.results import Names

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write verdicts.{md,html}."""
    sentences = verdicts(read_results(smk.input.metrics, smk.params.contrasts, Names(**smk.params.names)))
    sentences = sentences or ["This study declares no contrast: its differences are descriptive."]
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    pages = {
        smk.output.md: "".join(f"- {sentence}\n" for sentence in sentences),
        smk.output.page: html_page("Does object-aware cropping win?", f"<ul>\n{items}\n</ul>"),
    }
    for name, page in pages.items():
        with writing(Path(name)) as path:
            path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
