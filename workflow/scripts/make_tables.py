"""Put the runs of a study into the two tables and the verdicts."""

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from oac.atomic import writing
from oac.command import plain_errors
from oac.report.formats import html_page
from oac.report.tables import collect, crops_table, methods_table, write
from oac.report.verdicts import verdicts

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write tables/{crops,methods}.{csv,md,tex,html} and verdicts.{md,html}."""
    runs = collect(json.loads(Path(path).read_text()) for path in smk.input.metrics)
    folder = Path(smk.output.verdicts).parent
    write(crops_table(runs), folder / "tables/crops")
    write(methods_table(runs), folder / "tables/methods")
    sentences = verdicts(runs) or ["This study compares no object-dilate line with another one."]
    with writing(smk.output.verdicts) as path:
        path.write_text("".join(f"- {sentence}\n" for sentence in sentences), encoding="utf-8")
    items = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    with writing(smk.output.page) as path:
        path.write_text(html_page("Does object-aware cropping win?", f"<ul>\n{items}\n</ul>"), encoding="utf-8")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
