"""The encoders of a study that has no probe: where they are, and how their training went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oac.report.formats import MISSING, Column, Row, Table
from oac.report.results import Names, method_name
from oac.report.runs import duration, speed

_NOTES = (
    "Loss and chance: means over the last interval of training; chance is the loss of guessing. Images/s: median over"
    " the run.",
    "In Python: `from oac.pretrain.nn import load_encoder; encoder = load_encoder(FILE)`; for other libraries see"
    " docs/export.md.",
)


def encoders_table(study: str, names: Names, histories: Mapping[str, Iterable[Row]]) -> Table:
    """One row per encoder of a study; histories: by run, method/crops/seed0, the parsed lines of its history.jsonl.

    Raises ValueError where nothing was trained.
    """
    if not histories:
        raise ValueError(f"study {study} trains nothing, so it has no encoders")
    rows = [_row(study, run, list(lines)) for run, lines in histories.items()]
    columns = [
        Column("Method", lambda row: method_name(row["method"]), number=False),
        Column("Crops", lambda row: names.labels.get(row["crops"], row["crops"]), number=False),
        Column("Seed", "seed"),
        Column("Images seen", lambda row: f"{row['images_seen']:,}"),
        Column("Loss (chance)", lambda row: f"{row['loss']:.2f} ({row['chance']:.2f})"),
        Column("Training time", lambda row: duration(row["training_s"])),
        Column("Images/s", lambda row: MISSING if row["images_per_s"] is None else f"{row['images_per_s']:,.0f}"),
        Column("File", lambda row: f"`{row['file']}`", number=False),
    ]
    return Table(rows, columns, f"{names.title}, encoders", list(_NOTES))


def _row(study: str, run: str, lines: list[Row]) -> dict[str, Any]:
    method, crops, seed = run.split("/")
    last = lines[-1]
    return {
        "method": method,
        "crops": crops,
        "seed": int(seed.removeprefix("seed")),
        **{key: last[key] for key in ("images_seen", "loss", "chance")},
        **speed(lines),
        "file": f"results/{study}/pretrain/{run}/encoder.safetensors",
    }
