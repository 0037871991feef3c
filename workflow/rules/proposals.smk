# Stage 2: photos into ranked boxes that may hold an object.


rule train_bing:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
    output:
        "results/{study}/proposals/bing.json",
    log:
        "logs/{study}/train_bing.log",
    params:
        identity=ask("photo_identity"),
        version=versions.PROPOSALS,
        photos="results/{study}/data/photos",
        options=ask("bing_training"),
    message:
        "Training BING on the ground-truth boxes of {wildcards.study}"
    script:
        "../scripts/proposals.py"


# A shard is a job: a cluster deals them out, and one that is stopped costs minutes. Nothing in it has threads.
rule propose_shard:
    input:
        images=rules.collect_images.output.images,
        weights=ask("bing_weights"),
    output:
        "results/{study}/proposals/{source}/{shard}.parquet",
    log:
        "logs/{study}/propose/{source}/{shard}.log",
    wildcard_constraints:
        source="|".join(crop_options.FROM_PIXELS),
    params:
        identity=ask("photo_identity"),
        version=versions.PROPOSALS,
        photos="results/{study}/data/photos",
        options=ask("source_options"),
        number=setting("proposals", "count"),
        first=None,
    message:
        "Proposing {params.number} boxes for each photo of {wildcards.study}: {wildcards.source}, {wildcards.shard}"
    script:
        "../scripts/proposals.py"


rule collect_proposals:
    input:
        shards=ask("proposal_shards"),
    output:
        "results/{study}/proposals/{source}.parquet",
    log:
        "logs/{study}/collect_proposals/{source}.log",
    wildcard_constraints:
        source="|".join(crop_options.FROM_PIXELS),
    message:
        "Collecting the {wildcards.source} boxes of {wildcards.study}"
    script:
        "../scripts/proposals.py"


rule propose_from_table:
    input:
        images=rules.collect_images.output.images,
        boxes=ask("table_source"),
    output:
        "results/{study}/proposals/{source}.parquet",
    log:
        "logs/{study}/propose_from_table/{source}.log",
    wildcard_constraints:
        source="csv|ground_truth|random",
    params:
        version=versions.PROPOSALS,
        identity=ask("table_identity"),
        options=ask("table_options"),
    message:
        "Taking the {wildcards.source} boxes of {wildcards.study}"
    script:
        "../scripts/proposals.py"


rule measure_recall:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        proposals=ask("recall_tables"),
    output:
        "results/{study}/proposals/recall.json",
    log:
        "logs/{study}/measure_recall.log",
    params:
        version=versions.PROPOSALS,
        page=versions.REPORT,
        number=setting("proposals", "count"),
    message:
        "Measuring how many objects of {wildcards.study} the proposals find"
    script:
        "../scripts/proposals.py"


# How well sources find the objects of one split, with long lists of boxes: not a part of a study's report, asked for
# by name: snakemake results/{study}/proposals/comparison/comparison.md
use rule propose_shard as propose_long with:
    output:
        "results/{study}/proposals/comparison/{source}/{shard}.parquet",
    log:
        "logs/{study}/comparison/{source}/{shard}.log",
    params:
        number=ask("comparison_count"),
        first=setting("proposals", "comparison", "photos"),


use rule collect_proposals as collect_long with:
    input:
        shards=ask("comparison_shards"),
    output:
        "results/{study}/proposals/comparison/{source}.parquet",
    log:
        "logs/{study}/comparison/{source}.log",


rule compare_proposals:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        tables=ask("comparison_tables"),
    output:
        csv="results/{study}/proposals/comparison/comparison.csv",
        md="results/{study}/proposals/comparison/comparison.md",
    log:
        "logs/{study}/comparison/compare_proposals.log",
    params:
        version=versions.PROPOSALS,
        options=setting("proposals", "comparison"),
        random=setting("proposals", "random"),
        difficult=ask("difficult_marks"),
    message:
        "Scoring the proposals of {wildcards.study} on its {params.options[split]} split"
    script:
        "../scripts/proposals.py"


rule draw_comparison:
    input:
        comparison=rules.compare_proposals.output.csv,
    output:
        "results/{study}/proposals/comparison/comparison.png",
        "results/{study}/proposals/comparison/comparison.pdf",
    log:
        "logs/{study}/comparison/draw_comparison.log",
    params:
        version=versions.REPORT,
        names=ask("names"),
    message:
        "Drawing how many objects of {wildcards.study} the proposals find"
    script:
        "../scripts/draw.py"


rule draw_top_boxes:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        tables=ask("comparison_tables"),
    output:
        "results/{study}/proposals/comparison/top_boxes.png",
        "results/{study}/proposals/comparison/top_boxes.pdf",
    log:
        "logs/{study}/comparison/draw_top_boxes.log",
    params:
        photos="results/{study}/data/photos",
        options=setting("proposals", "comparison"),
        random=setting("proposals", "random"),
    message:
        "Drawing the ten best proposals of photos of {wildcards.study}"
    script:
        "../scripts/draw_top_boxes.py"


rule comparison:
    input:
        rules.compare_proposals.output,
        rules.draw_comparison.output,
        rules.draw_top_boxes.output,
    output:
        touch("results/{study}/proposals/comparison/all"),
    message:
        "The comparison of the proposals of {wildcards.study} is in results/{wildcards.study}/proposals/comparison"
