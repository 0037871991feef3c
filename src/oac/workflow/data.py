"""A study's data and proposals, as the rules ask for them.

The workflow imports this module at every call, so it needs no torch; Snakemake itself is known to the rules alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from oac import crop_options, studies
from oac.configuration import ConfigError
from oac.data import photos, sources
from oac.data.photo_files import file_state
from oac.data.synthetic_images import Design
from oac.pretrain import recipe as recipes
from oac.study_checks import UNBOXED

SPLITS = ("train", "validation", "test")
# What Snakemake takes for a wildcard in the path of an input; it has no way to write a path that holds one.
WILDCARD = re.compile(r"\{\s*[.\w]+\s*(,[^{}]*)?\}")


class StudyData:
    """One study: its values, and what the stages data and proposals read, make and are told.

    Names of parameters are those of the wildcards. Methods raise ConfigError where a path names what there is not.
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

    def require_probe(self) -> None:
        """Raise ConfigError where the study ends with its encoders."""
        if "probe" not in self.study:
            raise ConfigError(
                f"study {self.name} has no probe, so no test results; it ends with the encoders:"
                f" snakemake {self.folder}/report/summary.md"
            )

    def nameable(self, file: str, key: str) -> str:
        """A file of the study's as a rule's input. ConfigError where Snakemake would not take it for a path."""
        if found := WILDCARD.search(file):
            raise ConfigError(
                f"study {self.name}: {key} {file}: rename it, Snakemake takes {found[0]} for a wildcard"
            )
        return file

    # Data.

    def photo_identity(self) -> str:
        """What decides the photos and boxes of all splits.

        Whatever reads photos has this for a parameter. The tables in between can come out with the same bytes when
        the photos behind them do not, and after an interruption nothing else would tell Snakemake.
        """
        identity = recipes.data_differences(self.data, SPLITS) | self._fingerprint()
        identity |= {"orientation": "exif"} if self.orientation() == "exif" else {}
        return json.dumps(identity, sort_keys=True)

    def _fingerprint(self) -> dict[str, Any]:
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

    def single_label(self) -> str:
        """The keys of the study that ask for photos of one label each, with blanks between."""
        asked = {
            "probe.task": self.study.get("probe", {}).get("task"),
            "methods.supervised.objective": self.study["methods"].get("supervised", {}).get("objective"),
        }
        return " ".join(key for key, value in asked.items() if value == "single_label")

    def shard_counts(self) -> dict[str, int]:
        """How many shards each split has. ConfigError where the source is not there to count."""
        if "shards" not in self.data["store"]:
            self.release_location()
        labels = self.data.get("labels")
        if labels and not Path(labels).is_file():
            raise ConfigError(f"study {self.name}: data.labels: {photos.no_labels(labels)}")
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

    def orientation(self) -> str:
        """Whether photos are turned by their EXIF data: exif, or stored where there are boxes of them as stored."""
        return "exif" if self.data["source"] in UNBOXED and "csv" not in self.proposals else "stored"

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
        """The source's own files, as the study file says.

        Without those that a rule cannot name (WILDCARD); what they are like is in the fingerprint.
        """
        self.release_location()
        files = sources.local_files(self.data)
        if self._fingerprint():
            return [file for file in files if not WILDCARD.search(file)]
        return [self.nameable(file, "data.location") for file in files]

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
            return self.nameable(str(self.proposals["csv"]["file"]), "proposals.csv.file")
        return f"{self.folder}/" + {"ground_truth": "data/boxes.parquet", "random": "proposals/bing.parquet"}[source]

    def table_identity(self, source: str) -> str:
        """The photos, and of a file of boxes its size and time: Snakemake sees no older file put in place."""
        if source != "csv":
            return self.photo_identity()
        return f"{self.photo_identity()}\n{file_state(self.table_source(source))}"

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
        """The folder whose annotations mark objects to leave out; none where the source has no such mark."""
        return None if self.proposals["comparison"]["difficult"] else sources.difficult_marks(self.data)

    def recall_tables(self) -> list[str]:
        """The proposals of the sources in use that can miss an object, and of random boxes to compare."""
        used = [source for source in studies.box_sources(self.study) if source != "ground_truth"]
        used += ["random"] if used else []
        return [f"{self.folder}/proposals/{source}.parquet" for source in dict.fromkeys(used)]

    def has_objects(self) -> bool:
        """Whether the labels have boxes of objects, not the whole photo."""
        return "probe" in self.study and self.data["source"] not in UNBOXED

    def recall(self) -> str | list[str]:
        """What the proposals find; no file where there are none or no labelled boxes to find."""
        proposed = any(source != "ground_truth" for source in studies.box_sources(self.study))
        return f"{self.folder}/proposals/recall.json" if proposed and self.has_objects() else []

    def uncounted(self) -> list[str]:
        """The list of photos and the proposals in use, where no recall.json counts the photos without boxes."""
        used = [] if self.recall() else [name for name in studies.box_sources(self.study) if name != "ground_truth"]
        files = [f"{self.folder}/proposals/{source}.parquet" for source in used]
        return [f"{self.folder}/data/images.parquet", *files] if files else []
