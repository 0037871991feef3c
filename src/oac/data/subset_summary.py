"""What the filters left, step by step, and the subset beside the paper's OHMS, as JSON and as a page."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from oac.data import bad_boxes, photo_sizes
from oac.data.bad_boxes import EXAMPLES
from oac.data.selection import Subset

# Mishra et al. (arXiv 2112.00319), section on OHMS and the authors' README; the test images are those of the dict
# images_selected_test_40k.npy. Figures that the paper rounds are rounded here.
OHMS = {
    "train_images": 212_753,
    "classes": 208,
    "objects_per_image": 12,
    "fewest_images_of_a_class": 1_000,
    "most_images_of_a_class": 60_000,
    "test_images": 40_000,
}
_NAMES = {
    "train_images": "train images",
    "classes": "classes",
    "objects_per_image": "objects a train image (mean)",
    "fewest_images_of_a_class": "train images of the rarest class",
    "most_images_of_a_class": "train images of the most frequent class",
    "test_images": "test images",
}
_ROUNDED = {"objects_per_image", "fewest_images_of_a_class", "most_images_of_a_class", "test_images"}


def subset_summary(study: str, options: dict[str, Any], subset: Subset) -> dict[str, Any]:
    """summary.json: the counts after every step, those of the subset, and both beside the paper's.

    Photos without labels have nothing that the paper's subset could stand beside.
    """
    splits = {split: int(count) for split, count in subset.images["split"].value_counts(sort=False).items()}
    per_class = subset.classes["train_images"]
    last = {step["split"]: int(step["boxes"]) for step in subset.steps}
    beside: dict[str, Any] = {"ours": {}, "ohms": {}}
    if len(per_class):
        beside = {"ours": _ours(subset, splits, last["train"]), "ohms": OHMS}
    return {
        "study": study,
        "source": options["source"],
        "steps": subset.steps,
        "splits": splits,
        "classes": len(subset.classes),
        "boxes": sum(last.values()),
        "bad_boxes": subset.bad_boxes.as_dict(),
        "photo_sizes": subset.size_differences,
        "names_alike": names_alike(subset.release_names),
        "not_in_train": subset.not_in_train,
        "other_files": subset.other_files,
        "notes": list(subset.notes),
        **beside,
        "options": options,
    }


def names_alike(names: Iterable[str]) -> list[list[str]]:
    """The names of classes that look alike, together.

    They differ in case, in how a letter is coded (é is one character or two), or in characters that are not shown.
    """
    alike = defaultdict(list)
    for name in names:
        seen = (letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
        alike["".join(seen).casefold()].append(name)
    return [sorted(group) for group in alike.values() if len(group) > 1]


def notes(summary: dict[str, Any]) -> list[str]:
    """What a reader must know about files, boxes, sizes and classes, in sentences; earlier summaries lack some."""
    said = [*summary.get("notes", ()), bad_boxes.sentence(summary["bad_boxes"]) if "bad_boxes" in summary else None]
    if sizes := summary.get("photo_sizes"):
        said.append(
            photo_sizes.sentence(sizes, "Boxes are taken as of the photos' own sizes where those can be read")
        )
    if groups := summary.get("names_alike"):
        names = "; ".join(", ".join(group) for group in groups)
        said.append(
            "Names of classes of the source that differ in case alone or look the same, and are classes of their own:"
            f" {names}."
        )
    for split, counts in summary.get("not_in_train", {}).items():
        first = ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:EXAMPLES])
        said.append(
            f"Boxes of {split} that are left out because train has none of their classes: {sum(counts.values()):,},"
            f" of {len(counts):,} classes, the first: {first}."
        )
    return [sentence for sentence in said if sentence]


def _ours(subset: Subset, splits: dict[str, int], train_boxes: int) -> dict[str, float]:
    per_class = subset.classes["train_images"]
    return {
        "train_images": splits["train"],
        "classes": len(subset.classes),
        "objects_per_image": round(train_boxes / splits["train"], 2),
        "fewest_images_of_a_class": int(per_class.min()),
        "most_images_of_a_class": int(per_class.max()),
        "test_images": splits.get("test", 0),
    }


def page(summary: dict[str, Any]) -> str:
    """summary.md: the same for people."""
    steps = [
        (step["split"], step["step"], *(f"{step[key]:,}" for key in ("images", "classes", "boxes")))
        for step in summary["steps"]
    ]
    ours = summary["ours"]
    beside = [
        (name, f"{ours[key]:,}", ("about " if key in _ROUNDED else "") + f"{OHMS[key]:,}")
        for key, name in _NAMES.items()
        if key in ours
    ]
    subset = summary["options"]["subset"]
    options = [f"{key}: {subset[key]}" for key in subset if ours or key in ("max_images", "seed")]
    return "\n\n".join(
        [
            f"# The subset of {summary['study']}",
            "What each filter left, in the order they were applied.",
            _table(("Split", "Step", "Images", "Classes", "Boxes"), steps, 2),
            *notes(summary),
            *(["Beside the subset of the paper, OHMS, which was chosen from all of Open Images."] if beside else []),
            *([_table(("", "Here", "Paper"), beside, 1)] if beside else []),
            "Options: " + "; ".join(options) + ".",
        ]
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table whose first columns are text and whose others are numbers."""
    marks = [":---"] * texts + ["---:"] * (len(header) - texts)
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (header, marks, *rows))
