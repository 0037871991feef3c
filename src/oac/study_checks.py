"""What no schema can say of a study: options that nothing reads, names of what there is not, and what a source lacks.

Each mistake is answered with one sentence that names file and key. This module needs no torch: the workflow imports
it at every call.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oac import crop_options
from oac.configuration import ConfigError, checked
from oac.studies import FIXED_ENCODERS, TIMM, UNCROPPED, box_sources, contrasts, runs, schema, variant_of

SOURCE_KEYS = {  # the keys of `data` that say what and where a source is; each is read for its own sources only
    "synthetic": ("synthetic",),
    "openimages": ("location", "photos", "verify"),
    "dicts": ("location", "release", "photos", "verify"),
    "voc": ("location", "voc"),
    "coco": ("location", "photos", "coco"),
    "imagenet": ("location", "photos", "imagenet"),
    "folder": ("location", "photos", "folder"),
    "photos": ("location", "labels"),
}
WITHOUT_VALIDATION = ("dicts", "voc", "coco", "imagenet", "photos")
COUNTED_LATER = ("openimages", "dicts")  # sources whose photos are counted when their annotations are read
UNBOXED = {  # sources without labelled boxes, and why not
    "photos": "a folder of photos has no labelled boxes",
    "imagenet": "its boxes are whole photos",
}
WHOLE_BATCH = {  # methods whose batches cannot be computed in parts, and why not
    "byol": "both of its views pass through the same batch norms, one after the other",
    "swav": "its codes and its batch norms are of the whole batch",
    "cmc": "its batch norms are of the whole batch",
    "supervised": "the batch norms of its network are of the whole batch",
}
SAMPLE_KEYS = ("max_images", "seed")  # of `data.subset`, those that need no labels
SGD_KEYS = ("lr", "epochs", "milestones", "batch_size")  # of `probe`; L-BFGS reads none of them


def complete_study(study: dict[str, Any], given: Mapping[str, Any], file: str | Path) -> None:
    """Check a study, and fill in the defaults that depend on its source, its crop variants and its options.

    study: as the schema filled it in; changed in place. given: the file as it was written. Raises ConfigError.
    """
    _check_meaning(study, given, file)
    _check_source(study, given, file)
    for name, variant in list(study["crops"].items()):
        _check_variant(name, variant, study, file)
        seeds = variant.get("seeds") or study.get("seeds")
        label = {key: variant[key] for key in ("label",) if key in variant}
        if seeds is None:
            raise ConfigError(f"{file}: crops.{name}.seeds is missing, and the study has no seeds for all its crops")
        study["crops"][name] = {"seeds": seeds, **label} | crop_options.with_defaults(variant)
    _check_methods(study, file)
    for source in {*box_sources(study), *study["proposals"]["comparison"]["sources"]} & {"csv", "opencv_bing"}:
        if source not in study["proposals"]:
            raise ConfigError(f"{file}: proposals.{source} is missing, which says where the files of that source are")
    for name in study["report"].get("variants", []):
        if name not in study["crops"]:
            raise ConfigError(
                f"{file}: report.variants names {name}, but the crop variants are {', '.join(study['crops'])}"
            )
    _check_contrasts(study, file)
    if ("images_seen" in study["pretrain"]) == ("epochs" in study["pretrain"]):
        raise ConfigError(f"{file}: pretrain needs images_seen or epochs, and one of them alone")
    if (init := study["pretrain"].get("init", "")).startswith(f"results/{study['name']}/"):
        raise ConfigError(f"{file}: pretrain.init {init} is of this study itself: name weights from elsewhere")
    if "probe" in study:
        _check_probe(study, file)
    elif not set(study["methods"]) - set(FIXED_ENCODERS):
        raise ConfigError(f"{file}: methods train nothing and there is no probe: add either")


def _check_source(study: dict[str, Any], given: Mapping[str, Any], file: str | Path) -> None:
    """Fill in what depends on the source, and refuse what it does not have."""
    data, bing = study["data"], study["proposals"]["bing"]
    source, shards = data["source"], data["store"].get("shards")
    unlabelled = source == "photos" and "labels" not in data
    data["store"].setdefault("max_missing_share", 1.0 if source == "photos" else 0.02)
    if source == "photos" and "weights" not in given.get("proposals", {}).get("bing", {}):
        bing["weights"] = "packaged"
    if shards is None and source in COUNTED_LATER:
        raise ConfigError(f"{file}: data.store.shards is missing, which source {source} needs: one for 1,000 photos")
    if source in WITHOUT_VALIDATION and "validation" in (shards or ()):
        raise ConfigError(f"{file}: data.store.shards.validation must go: source {source} has no validation split")
    if unlabelled and "test" in (shards or ()):
        raise ConfigError(f"{file}: data.store.shards.test must go: source {source} has no test split")
    if source in UNBOXED and bing["weights"] == "own" and {"bing", "random"} & set(box_sources(study)):
        raise ConfigError(
            f"{file}: proposals.bing.weights is own, but source {source} has nothing to train BING on, as"
            f" {UNBOXED[source]}: write packaged"
        )
    for name, variant in study["crops"].items():
        if source == "photos" and variant.get("boxes") == "ground_truth":
            raise ConfigError(
                f"{file}: crops.{name}.boxes: ground_truth has no meaning with source: {source}, as"
                f" {UNBOXED[source]}; take bing or another source"
            )
    if not unlabelled:
        return
    reason = f"has no meaning with source: {source} without data.labels"
    for key in given["data"].get("subset", {}):
        if key not in SAMPLE_KEYS:
            raise ConfigError(f"{file}: data.subset.{key} {reason}; remove it")
    if "supervised" in study["methods"]:
        raise ConfigError(f"{file}: methods.supervised {reason}; remove it")
    if "probe" in study:
        raise ConfigError(
            f"{file}: probe {reason}; name a file of labels, or remove it: the study then ends with the encoders"
        )


def _check_contrasts(study: Mapping[str, Any], file: str | Path) -> None:
    """Refuse contrasts of variants that there are not, and one that is declared twice."""
    if study["contrasts"] and "probe" not in study:
        raise ConfigError(f"{file}: contrasts compare probes, and this study has no probe; remove them")
    known = {(method, crops) for method, crops, _ in runs(study)}
    for name in (name for pair in study["contrasts"] for name in pair):
        if variant_of(name) not in known:
            there = ", ".join(dict.fromkeys(f"{method}/{crops}" for method, crops, _ in runs(study)))
            raise ConfigError(f"{file}: contrasts names {name}, but the variants that are run are {there}")
    pairs = [frozenset(pair) for pair in contrasts(study)]
    if twice := [pair for pair in pairs if pairs.count(pair) > 1 or len(pair) < 2]:
        names = " and ".join(f"{method}/{crops}" for method, crops in sorted(twice[0]))
        raise ConfigError(f"{file}: contrasts has {names} twice: a comparison is tested once")


def _check_probe(study: Mapping[str, Any], file: str | Path) -> None:
    """Check the probe's options against each other, and its test photos against the splits that there are."""
    probe, data = study["probe"], study["data"]
    if probe["solver"] == "sgd" and probe.get("views", 1) > probe["epochs"]:
        raise ConfigError(f"{file}: probe.views {probe['views']} is more than its {probe['epochs']} epochs will see")
    edges = probe["size_edges"]
    if edges != sorted(set(edges)):
        raise ConfigError(f"{file}: probe.size_edges must rise: {edges}")
    shards = data["store"].get("shards")
    if shards is not None and "test" not in shards:
        raise ConfigError(f"{file}: data.store.shards has no test split, which the probe is tested on")
    if probe["test"] == "validation" and (
        data["source"] in WITHOUT_VALIDATION if shards is None else "validation" not in shards
    ):
        raise ConfigError(f"{file}: probe.test is validation, but data.store.shards has no validation split")


def _check_variant(name: str, variant: Mapping[str, Any], study: Mapping[str, Any], file: str | Path) -> None:
    """Refuse options that the variant's policy does not read, which a reader would believe to change something."""
    policy, where = variant["policy"], f"{file}: crops.{name}"
    keys = crop_options.keys_of(policy, variant.get("scales"))
    for key in variant:
        if key not in ("policy", "label", "seeds", *keys):
            raise ConfigError(f"{where}.{key} has no meaning for {policy} crops; remove it")
    ranges = [(key, variant[key]) for key in ("scene_scale", "ratio", "shift") if key in variant]
    for key, (low, high) in [*ranges, *(("scales", scale) for scale in variant.get("scales") or [])]:
        if low > high:
            raise ConfigError(f"{where}.{key} must rise, but {low} is above {high}")
    if variant.get("budget") == "boxes" and study["data"]["source"] == "photos":
        raise ConfigError(
            f"{where}.budget counts ground-truth boxes, of which data.source photos has none: remove it"
        )
    if "boxes" in keys and "boxes" not in variant:
        raise ConfigError(f"{where}.boxes is missing: {', '.join(crop_options.BOX_SOURCES)}")


def _check_methods(study: Mapping[str, Any], file: str | Path) -> None:
    """Check that methods name crop variants that there are, and batches that divide into their splits."""
    if "cmc" in study["methods"] and study["backbone"]["name"].startswith(TIMM):
        raise ConfigError(
            f"{file}: methods.cmc has two networks of half the width, which networks of timm have not: remove"
            " it, or take a ResNet of torchvision, or narrow"
        )
    for method, options in study["methods"].items():
        # Networks of timm may be without batch norm, which their job looks at.
        alone = method == "supervised" and study["backbone"]["name"].startswith(TIMM)
        if options.get("accumulate", 1) > 1 and method in WHOLE_BATCH and not alone:
            raise ConfigError(
                f"{file}: methods.{method}.accumulate has no meaning, as {WHOLE_BATCH[method]}; remove it"
            )
        for crops in options["crops"] if options["crops"] != "all" else []:
            if crops not in study["crops"] and not (method in FIXED_ENCODERS and crops == UNCROPPED):
                known = ", ".join(study["crops"])
                raise ConfigError(f"{file}: methods.{method}.crops names {crops}, but the crop variants are {known}")
        _check_splits(options, f"{file}: methods.{method}.batch_size")
        part = schema()["properties"]["methods"]["properties"][method]
        for crops in study["crops"] if options["crops"] == "all" else set(options["crops"]) - {UNCROPPED}:
            others, where = study["crops"][crops]["method_options"] or {}, f"{file}: crops.{crops}.method_options"
            if fixed := sorted({"crops", "seeds", "images_seen", "heads", "augment", "accumulate"} & set(others)):
                raise ConfigError(
                    f"{where} names {fixed[0]}, which is no option of a method that a variant can change"
                )
            whole = checked({**options, **others}, part, f"{where}, for {method}")
            _check_splits(whole, f"{where}, for {method}: batch_size")
            budget = whole.get("images_seen", study["pretrain"].get("images_seen"))
            if budget is not None and budget < whole.get("batch_size", 0):
                raise ConfigError(
                    f"{file}: images_seen: {budget} is less than one batch of methods.{method} with crops.{crops},"
                    f" {whole['batch_size']}: raise images_seen or lower batch_size"
                )


def _check_splits(options: Mapping[str, Any], key: str) -> None:
    """Refuse a batch that its batch norm cannot divide: into splits, of two photos at least, and these into parts."""
    batch, splits, parts = (options.get(*item) for item in (("batch_size", 0), ("bn_splits", 1), ("accumulate", 1)))
    if batch % splits:
        raise ConfigError(f"{key} {batch} does not divide into its {splits} bn_splits")
    if batch == splits:
        raise ConfigError(
            f"{key} {batch} leaves one photo in each of its {splits} bn_splits, and batch norm needs two"
        )
    if "bn_splits" in options and splits % parts:
        raise ConfigError(
            f"{key} is computed in {parts} parts (accumulate), among which its {splits} bn_splits do not divide: set"
            f" bn_splits to a multiple of {parts}"
        )


def _check_meaning(study: Mapping[str, Any], given: Mapping[str, Any], file: str | Path) -> None:
    """Refuse what a file gives and nothing reads; defaults are not in `given`, the file as it was written."""
    source, backbone, probe = study["data"]["source"], study["backbone"]["name"], study.get("probe")
    others = {key for keys in SOURCE_KEYS.values() for key in keys} - set(SOURCE_KEYS[source])
    unread = [("data", key, f"with source: {source}") for key in sorted(others)]
    if probe and probe["solver"] != "sgd" and not probe["best_epoch"]:
        unread += [("probe", key, f"with solver: {probe['solver']}") for key in SGD_KEYS]
    if probe and probe["task"] == "single_label" and probe["best_epoch"]:
        unread.append(("probe", "best_epoch", "with task: single_label"))
    unread += [("backbone", "width", f"for {backbone}, whose width is fixed")] if backbone != "narrow" else []
    for part, key, reason in unread:
        if key in given[part]:
            raise ConfigError(f"{file}: {part}.{key} has no meaning {reason}; remove it")
