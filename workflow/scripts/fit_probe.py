"""Fit the linear probe of one run and write its average precisions."""

import json
from typing import TYPE_CHECKING

import pandas as pd

from oac import gpus, studies
from oac.atomic import writing
from oac.command import plain_errors
from oac.csv_tables import read_table
from oac.pretrain.nn import encoder_recipe
from oac.probe.evaluate import evaluate
from oac.probe.features import load_features

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake


def main(smk: "Snakemake") -> None:
    """Write metrics.json, ap.csv and ap_by_size.csv."""
    views = load_features(smk.input.views) if smk.input.views else {}
    with gpus.one_device(smk.resources.gpu) as device:
        result = evaluate(
            load_features(smk.input.features) | views,
            pd.read_parquet(smk.input.boxes),
            read_table(smk.input.classes),
            encoder_recipe(smk.input.encoder),
            study=smk.wildcards.study,
            crops=smk.wildcards.crops,
            options=studies.completed(smk.params.options, "probe"),
            device=device,
        )
    with writing(smk.output.ap) as path:
        result.ap.to_csv(path, index=False)
    with writing(smk.output.ap_by_size) as path:
        result.ap_by_size.to_csv(path, index=False)
    with writing(smk.output.metrics) as path:
        path.write_text(json.dumps(result.metrics, indent=2) + "\n")


if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        main(snakemake)
