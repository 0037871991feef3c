"""A study that starts from the weights of another one."""

import json

from oac.pretrain.nn import encoder_recipe

RUN = "pretrain/moco_v2/scene-scene/seed0/encoder.safetensors"


def test_weights_of_another_study_are_made_first_and_other_weights_train_again(fresh, repo):
    tiny, more = fresh.folder / "tiny.yaml", fresh.folder / "more.yaml"
    tiny.write_text((repo / "tests/config/tiny.yaml").read_text())
    more.write_text(f"name: more\nextends: tiny\ndescription: On.\npretrain: {{init: results/tiny/{RUN}}}\n")
    config = fresh.folder / "config.yaml"
    config.write_text(json.dumps({"studies": [], "study_files": [str(tiny), str(more)], "gpu": 0}))
    result = fresh.run(f"results/more/{RUN}", config=config)
    assert result.code == 0, result.text
    assert result.jobs["pretrain"] == 2
    assert encoder_recipe(fresh.folder / f"results/more/{RUN}")["init"]["file"] == f"results/tiny/{RUN}"
    assert "pretrain" not in fresh.planned(f"results/more/{RUN}", config=config).jobs
    (fresh.folder / f"results/tiny/{RUN}").write_bytes(b"other weights")
    assert fresh.planned(f"results/more/{RUN}", config=config).jobs["pretrain"] == 1
