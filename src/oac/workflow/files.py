"""A study's runs, crop variants, grid and report, as the rules ask for them; its data are in `oac.workflow.data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oac import crop_options, studies
from oac.configuration import ConfigError
from oac.pretrain import recipe as recipes
from oac.report import parts
from oac.report.paper import TABLE_1, VALUES, paper_value
from oac.workflow.data import StudyData


class StudyFiles(StudyData):
    """One study: what its rules read, make and are told. Names of parameters are those of the wildcards.

    Methods raise ConfigError where a path names what the study does not have.
    """

    # Runs.

    def recipe(self, method: str, crops: str, seed: str) -> dict[str, Any]:
        """The complete recipe of a run. ConfigError where its network is one of timm's and that is not installed."""
        studies.require_timm(self.study["backbone"]["name"])
        try:
            return recipes.build(self.study, method, crops, int(seed))
        except KeyError as error:
            raise ConfigError(error.args[0]) from None

    def recipe_text(self, method: str, crops: str, seed: str) -> str:
        """What a run's recipe has otherwise than the defaults: every option that changes its weights."""
        return recipes.canonical(recipes.differences(self.recipe(method, crops, seed)))

    def shared_recipe_text(self, gpus: int, method: str, crops: str, seed: str) -> str:
        """The same of a run that several GPUs share. Raises ConfigError where they cannot have equal parts of it."""
        options, parts = self.recipe(method, crops, seed)["options"], self.parts_of_a_batch(method)
        if gpus > 1 and parts > 1 and options.get("bn_splits", parts * gpus) % (parts * gpus):
            raise ConfigError(
                f"study {self.name}: bn_splits of {method} is {options['bn_splits']}, which does not divide among the"
                f" {gpus} GPUs of a run (`gpu` of the configuration), each of which computes its batch in {parts}"
                f" parts (`accumulate`): set it to a multiple of {parts * gpus}, or accumulate to 1"
            )
        for key in ("batch_size", "bn_splits"):
            # One split has its statistics over all GPUs.
            if gpus > 1 and options.get(key, 1) > 1 and options[key] % gpus:
                raise ConfigError(
                    f"study {self.name}: {key} of {method} is {options[key]}, which does not divide among the {gpus}"
                    f" GPUs of a run (`gpu` of the configuration): set {key} to a multiple of {gpus}, or gpu to a"
                    f" number that divides {options[key]}"
                )
        return self.recipe_text(method, crops, seed)

    def parts_of_a_batch(self, method: str) -> int:
        """How many parts a method's batches are computed in."""
        return int(self.study["methods"].get(method, {}).get("accumulate", 1))

    def random_init_text(self, seed: str) -> str:
        """The same of the reference row, whose path has neither method nor crops for wildcards."""
        return self.recipe_text(studies.RANDOM_INIT, studies.UNCROPPED, seed)

    def pretrained_text(self, seed: str) -> str:
        """The same of an encoder that there is."""
        return self.recipe_text(studies.PRETRAINED, studies.UNCROPPED, seed)

    def pretrained_encoder(self) -> str:
        """The file of an encoder that there is. ConfigError where the study names none, or one that is not there."""
        if studies.PRETRAINED not in self.study["methods"]:
            raise ConfigError(f"study {self.name} has no method {studies.PRETRAINED}, which names an encoder's file")
        return self._weights("methods.pretrained.encoder", self.study["methods"][studies.PRETRAINED]["encoder"])

    def initial_weights(self) -> str | list[str]:
        """The file of the weights that runs start from; no file where they start from random ones."""
        given = self.study["pretrain"].get("init")
        return self._weights("pretrain.init", given) if given else []

    def _weights(self, key: str, file: str) -> str:
        """A file of weights. ConfigError where it neither is there nor lies where the workflow can make it."""
        file = self.nameable(file, key)
        if not file.startswith("results/") and not Path(file).is_file():
            raise ConfigError(f"study {self.name}: {key} {file} does not exist: name a file of weights")
        return file

    def state_folder(self, method: str, crops: str, seed: str) -> str:
        """Where a run's checkpoints are, undeclared; another recipe gets another folder."""
        digest = recipes.digest(self.recipe(method, crops, seed))
        return f"state/{self.name}-{method}-{crops}-seed{seed}-{digest}"

    def histories(self) -> list[str]:
        """The histories of the runs that are trained."""
        trained = [run for run in studies.runs(self.study) if run[0] not in studies.FIXED_ENCODERS]
        return [f"{self.folder}/pretrain/{m}/{c}/seed{s}/history.jsonl" for m, c, s in trained]

    def probe_files(self, file: str) -> list[str]:
        """One file of the probe for every run."""
        self.require_probe()
        return [f"{self.folder}/probe/{m}/{c}/seed{s}/{file}" for m, c, s in studies.runs(self.study)]

    def tested(self) -> list[str]:
        """The metrics of every run; none of a study without a probe."""
        return self.probe_files("metrics.json") if "probe" in self.study else []

    def augmented_views(self, method: str, crops: str, seed: str) -> str | list[str]:
        """The features that a run's classifier is trained on; no file where they are those of the test view."""
        self.require_probe()
        views = "views" in self.study["probe"]
        return f"{self.folder}/probe/{method}/{crops}/seed{seed}/views.safetensors" if views else []

    # A grid of studies.

    OF_A_GRID = ("cells", "grid_metrics", "grid_files", "names")  # what a study file with a grid can be asked for

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

    # Report.

    def contrasts(self) -> list[tuple[tuple[str, str], tuple[str, str]]]:
        """The comparisons that the study declares to test."""
        return studies.contrasts(self.study)

    def names(self) -> dict[str, Any]:
        """What people call the study and its crop variants: the arguments of `oac.report.results.Names`."""
        return {"title": studies.title(self.study), "labels": studies.labels(self.study)}

    def figures(self) -> list[str]:
        """The figures that the study has something to show in."""
        runs = studies.runs(self.study)
        policies = {self.study["crops"][crops]["policy"] for method, crops, _ in runs if method == "moco_v2"}
        training = ["training_curves"] if self.histories() else []
        if "probe" not in self.study:
            names = [f"crops_{crops}" for crops in self.study["crops"]] + training
            return [f"{self.folder}/report/figures/{name}.png" for name in names]
        names = ["map_by_policy", "ap_by_frequency", "images_per_class"]
        names += ["ap_by_size", "objects_per_image"] if self.has_objects() else []
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

    def main_table(self) -> str:
        """The table that opens the study's page: `audit`, else `crops`, or `methods` where that leaves some out."""
        if studies.is_audit(self.study):
            return "audit"
        methods = {method for method, _, _ in studies.runs(self.study)}
        return "methods" if methods - {"moco_v2", "supervised", *studies.FIXED_ENCODERS} else "crops"

    def section_of_table(self, name: str) -> str:
        """The section of the page that a table stands in."""
        return parts.table(name, self.main_table()).section

    def section_of_figure(self, name: str) -> str:
        """The section of the page that a figure stands in."""
        return parts.figure(name, self.main_table()).section

    def table_pages(self) -> list[str]:
        """The same tables as HTML."""
        return [f"{path.removesuffix('md')}html" for path in self.tables()]

    def _optional_results(self) -> list[str]:
        """Names of the tables, and of the figures, that only some studies have."""
        names = ["audit"] if studies.is_audit(self.study) else []
        names += [f"{parts.OPTION}{option}" for option in studies.ablations(self.study)]
        # Two points always lie on a line.
        return names + (["overlap"] if len(studies.moco_variants(self.study)) > 2 else [])

    def report(self) -> list[str]:
        """Everything that the HTML report shows."""
        verdicts = [f"{self.folder}/report/verdicts.html"] if "probe" in self.study else []
        return [*verdicts, *self.table_pages(), *self.figures(), f"{self.folder}/report/summary.md"]

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
