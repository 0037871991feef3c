"""The jobs of the probe stage: a function for each rule of workflow/rules/probe.smk."""

import json
from typing import TYPE_CHECKING

import pandas as pd
import torch

from oac import studies
from oac.atomic import writing
from oac.command import plain_errors
from oac.csv_tables import read_table
from oac.data.store import Store
from oac.gpus import use_gpus
from oac.pretrain.nn import encoder_recipe, load_encoder
from oac.pretrain.timm_networks import check_views
from oac.probe.evaluate import evaluate
from oac.probe.features import TRAIN_VIEWS, extract, load_features, save_features

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

BATCH_SIZE = 128


def extract_features(smk: "Snakemake") -> None:
    """Embed every photo of a study with a frozen encoder, or augmented views of its train photos."""
    views = smk.params.get("views", 0)
    torch.set_num_threads(smk.threads)
    encoder, store = load_encoder(smk.input.encoder), Store(smk.params.photos)
    check_views(encoder, encoder_recipe(smk.input.encoder), [smk.params.view_size])
    images = pd.read_parquet(smk.input.images)
    if views:
        images = images[images["split"] == "train"]
    splits = {}
    with use_gpus(smk.resources.gpu) as device:
        for split, part in images.groupby("split", sort=False):
            splits[TRAIN_VIEWS if views else str(split)] = extract(
                encoder,
                store,
                part["image_id"].tolist(),
                size=smk.params.view_size,
                batch_size=BATCH_SIZE,
                device=device,
                squeeze=smk.params.get("squeeze", False),
                views=views,
                seed=encoder_recipe(smk.input.encoder)["seed"],
                workers=smk.threads if device != "cpu" else 0,
            )
    save_features(smk.output[0], splits)


def fit_probe(smk: "Snakemake") -> None:
    """Fit the linear probe of one run and write metrics.json, ap.csv and ap_by_size.csv."""
    views = load_features(smk.input.views) if smk.input.views else {}
    with use_gpus(smk.resources.gpu) as device:
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


JOBS = {"extract_features": extract_features, "extract_views": extract_features, "fit_probe": fit_probe}

if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        JOBS[snakemake.rule](snakemake)
