"""A study's variants, files and paths, as the rules ask for them.

The workflow imports this module at every call, so it needs no torch; Snakemake itself is known to the rules alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from oac import crop_options, studies
from oac.configuration import ConfigError
from oac.data import sources
from oac.data.synthetic_images import Design
from oac.pretrain import recipe as recipes
from oac.report.paper import TABLE_1, VALUES, paper_value

SPLITS = ("train", "validation", "test")


class StudyFiles:
    """One study: what its rules read, make and are told. Names of parameters are those of the wildcards.

    Methods raise ConfigError where a path names what the study does not have.
    """

    def __init__(self, study: Mapping[str, Any]):
        self.study = study
        self.name: str = study["name"]
        self.folder = f"results/{self.name}"
        self.data: dict[str, Any] = study["data"]
        self.proposals: dict[str, Any] = study["proposals"]

    def given(self, *keys: str) -> dict[str, Any]:
        """The part of the study at some keys, without defaults."""
        return studies.given(self.study, *keys)

    def setting(self, *keys: str) -> Any:
        """The value of the study at some keys, None where the last is absent.

        Keys of a mapping are sorted, so that equal values have one text.
        """
        value: Any = self.study
        if keys[0] == "probe":
            self.require_probe()
        for key in keys[:-1]:
            value = value[key]
        value = value.get(keys[-1])
        return dict(sorted(value.items())) if isinstance(value, dict) else value

    # Runs.

    def recipe(self, method: str, crops: str, seed: str) -> dict[str, Any]:
        """The complete recipe of a run."""
        try:
            return recipes.build(self.study, method, crops, int(seed))
        except KeyError as error:
            raise ConfigError(error.args[0]) from None

    def recipe_text(self, method: str, crops: str, seed: str) -> str:
        """What a run's recipe has otherwise than the defaults: everything that changes its weights."""
        return recipes.canonical(recipes.differences(self.recipe(method, crops, seed)))

    def shared_recipe_text(self, gpus: int, method: str, crops: str, seed: str) -> str:
        """The same of a run that several GPUs share. Raises ConfigError where they cannot have equal parts of it."""
        options = self.recipe(method, crops, seed)["options"]
        for key in ("batch_size", "bn_splits"):
            # One split has its statistics over all GPUs.
            if gpus > 1 and options.get(key, 1) > 1 and options[key] % gpus:
                raise ConfigError(
                    f"study {self.name}: {key} of {method} is {options[key]}, which does not divide among the {gpus}"
                    f" GPUs of a run (`gpu` of the configuration): set {key} to a multiple of {gpus}, or gpu to a"
                    f" number that divides {options[key]}"
                )
        return self.recipe_text(method, crops, seed)

    def random_init_text(self, seed: str) -> str:
        """The same of the reference row, whose path has neither method nor crops for wildcards."""
        return self.recipe_text(studies.RANDOM_INIT, studies.UNCROPPED, seed)

    def pretrained_text(self, seed: str) -> str:
        """The same of an encoder that there is."""
        return self.recipe_text(studies.PRETRAINED, studies.UNCROPPED, seed)

    def pretrained_encoder(self) -> str:
        """The file of an encoder that there is. ConfigError where the study names none."""
        if studies.PRETRAINED not in self.study["methods"]:
            raise ConfigError(f"study {self.name} has no method {studies.PRETRAINED}, which names an encoder's file")
        return str(self.study["methods"][studies.PRETRAINED]["encoder"])

    def state_folder(self, method: str, crops: str, seed: str) -> str:
        """Where a run's checkpoints are, undeclared; another recipe gets another folder."""
        digest = recipes.digest(self.recipe(method, crops, seed))
        return f"state/{self.name}-{method}-{crops}-seed{seed}-{digest}"

    def histories(self) -> list[str]:
        """The histories of the runs that are trained."""
        trained = [run for run in studies.runs(self.study) if run[0] not in studies.FIXED_ENCODERS]
        return [f"{self.folder}/pretrain/{m}/{c}/seed{s}/history.jsonl" for m, c, s in trained]

    def require_probe(self) -> None:
        """Raise ConfigError where the study ends with its encoders."""
        if "probe" not in self.study:
            raise ConfigError(
                f"study {self.name} has no probe, so no test results; it ends with the encoders:"
                f" snakemake {self.folder}/report/summary.md"
            )

    def probe_files(self, file: str) -> list[str]:
        """One file of the probe for every run."""
        self.require_probe()
        return [f"{self.folder}/probe/{m}/{c}/seed{s}/{file}" for m, c, s in studies.runs(self.study)]

    def augmented_views(self, method: str, crops: str, seed: str) -> str | list[str]:
        """The features that a run's classifier is trained on; no file where they are those of the test view."""
        self.require_probe()
        views = "views" in self.study["probe"]
        return f"{self.folder}/probe/{method}/{crops}/seed{seed}/views.safetensors" if views else []

    # A grid of studies.

    OF_A_GRID = ("cells", "grid_metrics", "grid_files")  # what a study file with a grid can be asked for

    def refuse_grid(self) -> None:
        """Raise ConfigError for a study file that is the frame of a grid and no study itself."""
        if self.study["grid"]:
            raise ConfigError(
                f"study {self.name} is a grid of the studies {', '.join(self.cells())}: ask for"
                f" results/{self.name}/regimes.md, or for a file of one of these"
            )

    def cells(self) -> list[str]:
        """The names of the studies of the grid. ConfigError where there is none."""
        if not self.study["grid"]:
            raise ConfigError(f"study {self.name} has no `grid`, which regimes are joined from")
        return [studies.cell_name(self.study, cell) for cell in self.study["grid"]]

    def grid_metrics(self) -> list[str]:
        """The metrics of every run of all studies of the grid, which have the runs of this one."""
        runs = [f"probe/{m}/{c}/seed{s}/metrics.json" for m, c, s in studies.runs(self.study)]
        return [f"results/{cell}/{run}" for cell in self.cells() for run in runs]

    def grid_files(self, file: str) -> list[str]:
        """One file of each study of the grid."""
        return [f"results/{cell}/{file}" for cell in self.cells()]

    # Crop variants.

    def crop_params(self, crops: str) -> dict[str, Any]:
        """Where a crop variant is cut."""
        variants = self.study["crops"]
        if crops not in variants:
            raise ConfigError(f"study {self.name} has no {crops!r} in `crops`: there are {', '.join(variants)}")
        return crop_options.crop_params(variants[crops])

    def view_size(self, crops: str) -> int:
        """The side of a crop variant's views in pixels."""
        self.crop_params(crops)  # refuses one that there is not
        return int(self.study["crops"][crops]["view_size"] or self.study["pretrain"]["view_size"])

    def variant_boxes(self, crops: str) -> str | list[str]:
        """The proposals that a crop variant draws from; no file where it crops around no boxes."""
        source = self.study["crops"].get(crops, {}).get("boxes")
        return f"{self.folder}/proposals/{source}.parquet" if source else []

    def moco_crop_params(self) -> dict[str, dict[str, Any]]:
        """Where each crop variant that MoCo-v2 is trained with is cut."""
        return {crops: self.crop_params(crops) for crops in studies.moco_variants(self.study)}

    def moco_boxes(self) -> list[str]:
        """The proposals of those variants, each file once."""
        files = [self.variant_boxes(crops) for crops in studies.moco_variants(self.study)]
        return list(dict.fromkeys(file for file in files if isinstance(file, str)))

    # Data.

    def photo_identity(self) -> str:
        """What decides the photos and boxes of all splits.

        Whatever reads photos has this for a parameter. The tables in between can come out with the same bytes when
        the photos behind them do not, and after an interruption nothing else would tell Snakemake.
        """
        identity = recipes.data_differences(self.data, SPLITS) | self._fingerprint()
        return json.dumps(identity, sort_keys=True)

    def _fingerprint(self) -> dict[str, str]:
        """What the source's files are like, of a source in a folder that is there."""
        try:
            found = sources.fingerprint(self.data)
        except (OSError, ValueError) as error:
            raise ConfigError(f"study {self.name}: data.location: {error}") from None
        return {"fingerprint": found} if found else {}

    def synthetic_options(self) -> dict[str, Any]:
        """What the synthetic release holds, without defaults. ConfigError where its objects do not fit its images."""
        options = self.data["synthetic"]
        try:
            Design(**{field.name: options[field.name] for field in fields(Design)})
        except ValueError as error:
            raise ConfigError(f"study {self.name}: data.synthetic: {error}") from None
        return self.given("data", "synthetic")

    def subset_options(self) -> dict[str, Any]:
        """What decides a subset, without defaults and without the folders and addresses of its source."""
        options = studies.given(self.study, "data")
        kept = ("source", self.data["source"], "subset", "labels")
        given = {key: options[key] for key in kept if key in options}
        return given | {"shards": self.shard_counts()} | self._fingerprint()

    def shard_counts(self) -> dict[str, int]:
        """How many shards each split has. ConfigError where the source is not there to count."""
        if "shards" not in self.data["store"]:
            self.release_location()
        try:
            counts = sources.shards(self.data)
        except (OSError, ValueError) as error:
            raise ConfigError(f"study {self.name}: data.location: {error}") from None
        if "probe" in self.study and "test" not in counts:
            raise ConfigError(f"study {self.name}: there are no test photos, which its probe is tested on")
        return counts

    def shards(self, *splits: str) -> list[str]:
        """The shards of some splits, of all where none is given."""
        counts = self.shard_counts()
        return [f"{split}-{number:03d}" for split in splits or counts for number in range(counts.get(split, 0))]

    def shard_indexes(self) -> list[str]:
        """The index files of all shards of the image store."""
        folder = f"{self.folder}/data/photos"
        return [f"{folder}/{shard.partition('-')[0]}/{shard}.index.parquet" for shard in self.shards()]

    def release_location(self) -> str:
        """The address or folder that annotation files are fetched from. ConfigError where a folder is missing."""
        if self.data["source"] == "synthetic":
            return f"resources/{self.name}/published"
        for location in (self.data["location"], sources.annotations_address(self.data)):
            folder = sources.local_folder(location)
            if "://" not in folder and not Path(folder).is_dir():
                if self.data["source"] == "photos":
                    raise ConfigError(
                        f"study {self.name}: {location} is no folder: name the folder of your photos with --config"
                        " photos=DIR, or in data.location of the study file"
                    )
                raise ConfigError(
                    f"study {self.name}: data.location {location} is no folder; put the data set there, or change"
                    f" data.location in the study file (docs/data.md says how it must lie and where it comes from)"
                )
        return sources.annotations_address(self.data)

    def is_verified(self) -> bool:
        """Whether the annotation files are compared with the published sizes and md5."""
        return sources.is_verified(self.data)

    def photo_location(self) -> str:
        """The address or folder that photos are fetched from."""
        release = self.release_location()
        return release if self.data["source"] == "synthetic" else sources.photos_address(self.data)

    def max_missing_share(self) -> str:
        """The share of a shard's photos that may be missing, as text: a resource is no fraction."""
        return str(self.data["store"]["max_missing_share"])

    def downloads(self) -> int:
        """What a shard's job takes of the budget `downloads`: 1 where it asks a server."""
        return int(self.photo_location().startswith("http"))

    def published_file(self, file: str) -> list[str]:
        """The file that a download reads, where the workflow makes it itself."""
        return [f"resources/{self.name}/published/{file}"] if self.data["source"] == "synthetic" else []

    def source_location(self) -> str:
        """Where a source that lies in a folder lies."""
        return str(self.data.get("location", ""))

    def source_files(self) -> list[str]:
        """The source's own files, as the study file says."""
        self.release_location()
        return sources.local_files(self.data)

    def release_files(self) -> list[str]:
        """The downloaded annotation files that the subset is chosen from."""
        return [f"resources/{self.name}/release/{file}" for file in sources.annotation_files(self.data)]

    # Proposals.

    def bing_training(self) -> str:
        """The options of BING's training as JSON, without defaults; suppression is an option of its use."""
        options = studies.given(self.study, "proposals", "bing")
        return json.dumps({key: options[key] for key in options if key not in ("nms_iou", "weights")}, sort_keys=True)

    def bing_weights(self, source: str) -> str | list[str]:
        """The weights that a shard's boxes are proposed with; no file for other sources and for packaged weights."""
        trained = source == "bing" and self.proposals["bing"]["weights"] != "packaged"
        return f"{self.folder}/proposals/bing.json" if trained else []

    def source_options(self, source: str) -> str:
        """The options of a source's use as JSON; those of BING's training are in its weights."""
        options = self.proposals.get(source, {})
        return json.dumps({"nms_iou": options["nms_iou"]} if source == "bing" else options, sort_keys=True)

    def proposal_shards(self, source: str) -> list[str]:
        """A source's proposals of all shards."""
        return [f"{self.folder}/proposals/{source}/{shard}.parquet" for shard in self.shards()]

    def table_source(self, source: str) -> str:
        """The file that the boxes of a source without pixels are taken from, or whose sizes they have."""
        if source == "csv" and "csv" not in self.proposals:
            raise ConfigError(f"study {self.name} has no proposals.csv: name the file of boxes there")
        if source == "csv":
            return str(self.proposals["csv"]["file"])
        return f"{self.folder}/" + {"ground_truth": "data/boxes.parquet", "random": "proposals/bing.parquet"}[source]

    def table_options(self, source: str) -> dict[str, float]:
        """The options of such a source."""
        count = self.proposals["count"]
        random = {"count": count, "seed": self.proposals["random"]["seed"]}
        csv = {"count": count, "min_coverage": self.proposals.get("csv", {}).get("min_coverage")}
        return {"csv": csv, "ground_truth": {}, "random": random}[source]

    def comparison_count(self) -> int:
        """The longest list of boxes that the comparison of proposals looks at."""
        return int(max(self.proposals["comparison"]["counts"]))

    def comparison_shards(self, source: str) -> list[str]:
        """The long lists of the shards of the split that is compared on."""
        shards = self.shards(self.proposals["comparison"]["split"])
        return [f"{self.folder}/proposals/comparison/{source}/{shard}.parquet" for shard in shards]

    def comparison_tables(self) -> list[str]:
        """The long lists of all sources that are compared; random boxes are drawn from BING's as they are scored."""
        compared = self.proposals["comparison"]["sources"]
        files = dict.fromkeys("bing" if source == "random" else source for source in compared)
        long = {source: "comparison/" if source in crop_options.FROM_PIXELS else "" for source in files}
        return [f"{self.folder}/proposals/{folder}{source}.parquet" for source, folder in long.items()]

    def difficult_marks(self) -> Any:
        """The folder whose annotations mark difficult objects; none where the source has no such mark."""
        return sources.difficult_marks(self.data)

    def recall_tables(self) -> list[str]:
        """The proposals of the sources in use that can miss an object, and of random boxes to compare."""
        used = [source for source in studies.box_sources(self.study) if source != "ground_truth"]
        used += ["random"] if used else []
        return [f"{self.folder}/proposals/{source}.parquet" for source in dict.fromkeys(used)]

    def recall(self) -> str | list[str]:
        """What the proposals find; no file where there are none or no labelled boxes to find."""
        proposed = any(source != "ground_truth" for source in studies.box_sources(self.study))
        return f"{self.folder}/proposals/recall.json" if proposed and "probe" in self.study else []

    # Report.

    def contrasts(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """The comparisons that the study declares to test."""
        return studies.contrasts(self.study)

    def figures(self) -> list[str]:
        """The figures that the study has something to show in."""
        runs = studies.runs(self.study)
        policies = {self.study["crops"][crops]["policy"] for method, crops, _ in runs if method == "moco_v2"}
        training = ["training_curves"] if self.histories() else []
        if "probe" not in self.study:
            names = [f"crops_{crops}" for crops in self.study["crops"]] + training
            return [f"{self.folder}/report/figures/{name}.png" for name in names]
        names = ["map_by_policy", "ap_by_size", "ap_by_frequency", "images_per_class", "objects_per_image"]
        names += [f"crops_{crops}" for crops in self.study["crops"] if crops in {crops for _, crops, _ in runs}]
        names += ["ap_per_class"] if {"scene-scene"} < policies else []
        names += training
        names += self._optional_results()
        names += ["recall"] if self.recall() else []
        return [f"{self.folder}/report/figures/{name}.png" for name in names]

    def tables(self) -> list[str]:
        """The tables that the study has something to show in, as pages in Markdown."""
        if "probe" not in self.study:
            return []
        names = ["crops", "methods", "pairs", *self._optional_results(), "paper", "runs"]
        return [f"{self.folder}/report/tables/{name}.md" for name in names]

    def _optional_results(self) -> list[str]:
        """Names of the tables, and of the figures, that only some studies have."""
        names = ["audit"] if studies.is_audit(self.study) else []
        names += [f"ablation_{option}" for option in studies.ablations(self.study)]
        return names + (["overlap"] if len(studies.moco_variants(self.study)) > 1 else [])

    def report(self) -> list[str]:
        """Everything that the HTML report shows."""
        texts = [*([self.verdicts()] if "probe" in self.study else []), *self.tables()]
        pages = [str(path).removesuffix("md") + "html" for path in texts]
        return [*pages, *self.figures(), f"{self.folder}/report/summary.md"]

    def verdicts(self) -> str | list[str]:
        """The page of verdicts; no file of a study without a probe."""
        return f"{self.folder}/report/verdicts.md" if "probe" in self.study else []

    def table1_metrics(self) -> list[str]:
        """The metrics of the runs that stand in the paper's table 1."""
        rows = [VALUES[key] for key in TABLE_1]
        files = []
        for method, crops, seed in studies.runs(self.study):
            variant = self.study["crops"].get(crops, {})
            if paper_value(method, variant.get("policy"), variant.get("boxes")) in rows:
                files.append(f"{self.folder}/probe/{method}/{crops}/seed{seed}/metrics.json")
        return files
