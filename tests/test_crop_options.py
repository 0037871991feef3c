"""The table of crop options, and that all that is derived from it agrees with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest

from oac import crop_options
from oac.crop_options import ABLATIONS, AUDITED, OPTIONS, POLICIES
from oac.pretrain.crops import CropPolicy

ROOT = Path(__file__).resolve().parents[1]


def test_a_crop_policy_has_a_field_for_every_option_of_where_crops_are_cut():
    cut = {key for key, option in OPTIONS.items() if not option.elsewhere}
    assert cut == {field.name for field in fields(CropPolicy)} - {"policy"}


@pytest.mark.parametrize("policy", POLICIES)
def test_the_options_of_a_policy_with_their_defaults_make_a_crop_policy(policy):
    given = {"policy": policy, "seeds": [0], "boxes": "bing"}
    made = CropPolicy.of(crop_options.crop_params(given))
    assert made == CropPolicy(policy, boxes=None if policy == "scene-scene" else "bing")
    assert crop_options.crop_params(crop_options.crop_params(given)) == crop_options.crop_params(given)


@pytest.mark.parametrize("key", OPTIONS)
def test_defaults_and_the_values_of_paper_and_released_code_fit_the_schema(key):
    option = OPTIONS[key]
    assert option.policies
    assert set(option.policies) <= set(POLICIES)
    for value in (option.default, option.published, option.released):
        if value is not None:
            jsonschema.validate(value, dict(option.schema))


def test_audit_and_ablations_name_options():
    assert AUDITED == ("boxes", "dilation", "delta", "items", "scales", "smallest_box", "heads")
    for ablation in ABLATIONS.values():
        assert ablation.policy in (None, *OPTIONS[ablation.option].policies)
    for key in AUDITED:
        assert crop_options.published(key) != OPTIONS[key].released


def test_ranges_of_their_own_leave_no_lower_bound():
    given = {"policy": "object-dilate", "boxes": "bing", "scales": [[0.0, 1.0], [0.2, 1.0]]}
    assert {"scale_lower", "scale_cap"} & set(crop_options.with_defaults(given)) == set()


def test_the_table_of_the_docs_is_this_table():
    assert crop_options.markdown_table() in (ROOT / "docs/crops.md").read_text()
