"""The jobs of the proposals stage: a function for each rule that makes boxes or counts what they find."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from oac import studies
from oac.allocation import keep_freed_memory
from oac.atomic import writing
from oac.command import plain_errors
from oac.data.store import DamagedPhotoError, Store
from oac.data.tables import boxes_by_image
from oac.data.voc import difficult_objects
from oac.progress import track
from oac.proposals.bing_train import train
from oac.proposals.box_sources import from_csv, ground_truth, proposal_table, random_boxes
from oac.proposals.comparison import (
    GroundTruth,
    detection_rate,
    first_photos,
    proposals_by_source,
    score_proposals,
    without_difficult,
)
from oac.proposals.proposers import proposer

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake, snakemake

Proposals = tuple[np.ndarray, np.ndarray]
NOTHING = (np.zeros((0, 4)), np.zeros(0))  # boxes and scores of a photo that cannot be decoded
FROM_TABLE = {"csv": from_csv, "ground_truth": ground_truth, "random": random_boxes}
RECALL_COUNTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


class DecodedPhotos(Sequence):
    """Photos as uint8 arrays (H, W, 3), decoded when indexed; None for a damaged one, with a warning."""

    def __init__(self, folder: Path, image_ids: list[str]) -> None:
        self.store, self.image_ids = Store(folder), image_ids

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.image_ids)

    def __getitem__(self, index: int) -> np.ndarray | None:
        """Decode one photo."""
        try:
            return np.asarray(self.store.image(self.image_ids[index]))
        except DamagedPhotoError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)
            return None


def train_bing(smk: "Snakemake") -> None:
    """Train BING on the ground-truth boxes of a study's train photos."""
    keep_freed_memory()
    images = pd.read_parquet(smk.input.images)
    ids = images.loc[images["split"] == "train", "image_id"].tolist()
    boxes = boxes_by_image(pd.read_parquet(smk.input.boxes), ids)
    options = studies.completed(json.loads(smk.params.options), "proposals", "bing")
    training = {key: value for key, value in options.items() if key not in ("nms_iou", "weights")}
    photos = DecodedPhotos(Path(smk.params.photos, "train"), ids)
    train(photos, boxes, source=smk.params.photos, **training).save(smk.output[0])


def propose_shard(smk: "Snakemake") -> None:
    """Propose boxes for the photos of one shard, or for those of them that are among the first of their split."""
    keep_freed_memory()
    source, shard = smk.wildcards.source, smk.wildcards.shard
    split = shard.rsplit("-", 1)[0]
    listed = first_photos(pd.read_parquet(smk.input.images), split, smk.params.first)
    ids = listed.loc[listed["shard"] == shard, "image_id"].tolist()
    photos = DecodedPhotos(Path(smk.params.photos, split), ids)
    results = one_by_one(smk, photos)
    boxes, scores = [], []
    for photo_boxes, photo_scores in track(results, len(ids), f"{source}, {shard}, photos"):
        boxes.append(photo_boxes.astype(np.float32))
        scores.append(photo_scores.astype(np.float32))
    with writing(smk.output[0]) as path:
        proposal_table(ids, boxes, scores).to_parquet(path, index=False)


def one_by_one(smk: "Snakemake", photos: Iterable[np.ndarray | None]) -> Iterator[Proposals]:
    """Boxes and scores of every photo, from any source."""
    propose = proposer(smk.wildcards.source, json.loads(smk.params.options), smk.input.weights or None)
    for photo in photos:
        yield NOTHING if photo is None else propose(photo, smk.params.number)


def collect_proposals(smk: "Snakemake") -> None:
    """Concatenate the proposals of all shards into one table, sorted by image and rank."""
    table = pd.concat([pd.read_parquet(path) for path in smk.input.shards], ignore_index=True)
    with writing(smk.output[0]) as path:
        table.sort_values(["image_id", "rank"], ignore_index=True).to_parquet(path, index=False)


def propose_from_table(smk: "Snakemake") -> None:
    """Take boxes that there are: of a CSV file, the ground truth, or BING's as the sizes of random ones."""
    source = smk.wildcards.source
    images = pd.read_parquet(smk.input.images)
    ids = images["image_id"].tolist()
    boxes = smk.input.boxes if source == "csv" else pd.read_parquet(smk.input.boxes)
    options = smk.params.options | ({"splits": images["split"].tolist()} if source == "csv" else {})
    table = FROM_TABLE[source](boxes, ids, **options)
    print(f"{table['image_id'].nunique()} of {len(ids)} photos have boxes from {smk.input.boxes}")
    with writing(smk.output[0]) as path:
        table.to_parquet(path, index=False)


def measure_recall(smk: "Snakemake") -> None:
    """Write {split: {source: rates}}; the splits beside train say what a run can expect of new photos."""
    images, boxes = pd.read_parquet(smk.input.images), pd.read_parquet(smk.input.boxes)
    counts = sorted({*(count for count in RECALL_COUNTS if count < smk.params.number), smk.params.number})
    tables = {Path(path).stem: pd.read_parquet(path) for path in smk.input.proposals}
    result: dict[str, Any] = {"iou": 0.5, "splits": {}}
    for split, part in images.groupby("split", sort=False):
        ids = part["image_id"].tolist()
        truth = boxes_by_image(boxes, ids)
        result["splits"][split] = {
            source: recall(boxes_by_image(table, ids), truth, counts) for source, table in tables.items()
        }
    with writing(smk.output[0]) as path:
        path.write_text(json.dumps(result, indent=2) + "\n")


def recall(proposals: list[np.ndarray], truth: list[np.ndarray], counts: list[int]) -> dict[str, Any]:
    """Detection rates at IoU 0.5, averaged both ways, the mean area of a proposal, and photos that got none."""
    boxes = np.concatenate(proposals)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return {
        "image": detection_rate(proposals, truth, counts, average="image"),
        "object": detection_rate(proposals, truth, counts, average="object"),
        "mean_area": float(area.mean()) if len(area) else None,
        "photos": len(proposals),
        "photos_without_boxes": sum(not len(found) for found in proposals),
    }


def compare_proposals(smk: "Snakemake") -> None:
    """Compare sources on one split: all figures of every number of boxes as csv, those to read as a page."""
    from oac.report.proposal_comparison import page  # loads matplotlib, which no other job here needs

    options, seed = smk.params.options, smk.params.random["seed"]
    images = first_photos(pd.read_parquet(smk.input.images), options["split"], options["photos"])
    ids = images["image_id"].tolist()
    boxes = pd.read_parquet(smk.input.boxes)
    boxes = boxes[boxes["image_id"].isin(ids)]
    left_out = 0
    if smk.params.difficult:
        kept = without_difficult(boxes, difficult_objects(smk.params.difficult, images))
        left_out, boxes = len(boxes) - len(kept), kept
    labels_of = dict(list(boxes.groupby("image_id")["label"]))
    labels = [labels_of[name].to_numpy(object) if name in labels_of else np.zeros(0, object) for name in ids]
    truth = GroundTruth(boxes_by_image(boxes, ids), labels)
    tables = {Path(path).stem: pd.read_parquet(path) for path in smk.input.tables}
    parts = []
    for source, table in proposals_by_source(options["sources"], tables, ids, max(options["counts"]), seed):
        scores = score_proposals(boxes_by_image(table, ids), truth, options["counts"])
        scores.insert(0, "source", source)
        parts.append(scores)
        print(f"{source}: {len(table)} boxes of {len(ids)} photos", flush=True)
    result = pd.concat(parts, ignore_index=True)
    text = page(result, smk.wildcards.study, options["split"], len(ids), len(boxes), left_out)
    with writing(smk.output.csv) as path:
        result.to_csv(path, index=False, float_format="%.6g")
    with writing(smk.output.md) as path:
        path.write_text(text, encoding="utf-8")


JOBS = {
    "train_bing": train_bing,
    "propose_shard": propose_shard,
    "propose_long": propose_shard,
    "collect_proposals": collect_proposals,
    "collect_long": collect_proposals,
    "propose_from_table": propose_from_table,
    "measure_recall": measure_recall,
    "compare_proposals": compare_proposals,
}

if __name__ == "__main__":
    with plain_errors(snakemake.log[0]):
        JOBS[snakemake.rule](snakemake)
