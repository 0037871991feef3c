"""Describe an encoder on a page to publish beside it: data, budget, recipe, result, licence."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from oac.atomic import writing
from oac.command import plain_errors
from oac.pretrain import recipe as recipes
from oac.pretrain.nn import encoder_recipe

SYNTHETIC_LICENCE = "MIT, as the code that made the images and the weights"
# Options of the data that say nothing of what the encoder has seen.
TECHNICAL = ("store",)


def page(encoder: Path, metrics: Path | None, licence: str | None) -> str:
    """The page of an encoder as Markdown. metrics: metrics.json of its probe.

    Raises ValueError for an encoder of somebody's photos or weights without a licence, and where the metrics are of
    another run.
    """
    recipe = encoder_recipe(encoder)
    if "crops" not in recipe:
        raise ValueError(
            f"{encoder} was not trained here (method {recipe['method']}), so there is nothing to describe"
        )
    data = recipe["data"]
    if licence is None and not _all_ours(recipe):
        raise ValueError(
            f"{encoder} was trained on {data['source']} photos, starting from {_start(recipe)}; their terms bind its"
            " licence: say it with --licence"
        )
    history = [json.loads(line) for line in encoder.with_name("history.jsonl").read_text("utf-8").splitlines()]
    last, options = history[-1], recipe["options"]
    crops = {key: value for key, value in recipe["crops"].items() if value is not None}
    rows = {
        "Network": _words(recipe["backbone"]),
        "Start": _start(recipe),
        "Data": "; ".join(f"{key}: {_words(part)}" for key, part in data.items() if key not in TECHNICAL),
        "Method": recipe["method"],
        "Crops": _words(crops),
        "Budget": f"{last['images_seen']:,} images seen, batches of {options['batch_size']}, views of"
        f" {recipe['view_size']} px",
        "Loss at the end": f"{last['loss']:.2f} (chance {last['chance']:.2f})",
        "Result": _result(recipe, metrics),
        "Input": "RGB in [0, 1], less (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)",
        "Seed": recipe["seed"],
        "Recipe": f"`{recipes.digest(recipe)}`, whole in the file's metadata and below",
        "SHA-256 of the file": f"`{hashlib.sha256(encoder.read_bytes()).hexdigest()}`",
        "Licence": licence or SYNTHETIC_LICENCE,
    }
    title = f"# Encoder: {recipe['method']} with {crops['policy']} crops, study {recipe['study']}"
    limits = "It was trained on synthetic images and is of no use for photos.\n" * _all_ours(recipe)
    return "\n".join(
        [
            title,
            limits,
            "| | |\n| :--- | :--- |",
            *(f"| {key} | {value} |" for key, value in rows.items()),
            "\n```python\nfrom oac.pretrain.nn import load_encoder\n",
            f'encoder = load_encoder("{encoder.name}")\n```\n',
            "<details><summary>Recipe</summary>\n",
            f"```json\n{json.dumps(recipe, indent=1, sort_keys=True)}\n```\n\n</details>\n",
        ]
    )


def _all_ours(recipe: dict[str, Any]) -> bool:
    """Whether nothing in an encoder is somebody else's, neither photos nor weights."""
    return recipe["data"]["source"] == "synthetic" and "init" not in recipe


def _start(recipe: dict[str, Any]) -> str:
    """The weights that training started from."""
    if "init" not in recipe:
        return "random weights"
    return f"`{Path(recipe['init']['file']).name}`, SHA-256 `{recipe['init']['sha256']}`"


def _words(part: Any) -> str:
    """Keys and values of a mapping in a line."""
    if isinstance(part, dict):
        return ", ".join(f"{key} {_words(value)}" for key, value in part.items() if value is not None)
    return str(part)


def _result(recipe: dict[str, Any], metrics: Path | None) -> str:
    """The mAP of the probe, or that there is none."""
    if metrics is None:
        return "not probed"
    found = json.loads(metrics.read_text(encoding="utf-8"))
    if found["recipe_hash"] != recipes.digest(recipe):
        raise ValueError(f"{metrics} is of another recipe than the encoder: give the metrics.json of the same run")
    return (
        f"mAP {100 * found['map']:.1f} % of a linear probe on {found['test_images']:,} test photos of"
        f" {found['classes']} classes (one seed)"
    )


def main() -> None:
    """Parse the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("encoder", type=Path, help="encoder.safetensors of a run, with its history.jsonl beside it")
    parser.add_argument("--metrics", type=Path, help="metrics.json of the same run")
    parser.add_argument("--licence", help="of the weights; needed where photos are other people's")
    parser.add_argument("--out", type=Path, default=Path("encoder.md"), help="page to write (default: %(default)s)")
    options = parser.parse_args()
    text = page(options.encoder, options.metrics, options.licence)
    with writing(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(options.out)


if __name__ == "__main__":
    with plain_errors():
        main()
