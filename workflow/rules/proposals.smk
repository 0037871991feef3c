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
        identity=photo_identity,
        version=proposals.VERSION,
        photos="results/{study}/data/photos",
        options=bing_training,
    message:
        "Training BING on the true boxes of {wildcards.study}"
    shell:
        'exec python "$SCRIPTS"/train_bing.py --images {input.images} --boxes {input.boxes}'
        " --photos {params.photos} --options {params.options:q} --out {output} > {log} 2>&1"


# A shard is a job: a cluster deals them out, and one that is stopped costs minutes. Nothing in it has threads.
rule propose_shard:
    input:
        images=rules.collect_images.output.images,
        weights=bing_weights,
    output:
        "results/{study}/proposals/{source}/{shard}.parquet",
    log:
        "logs/{study}/propose/{source}/{shard}.log",
    wildcard_constraints:
        source=FROM_PIXELS,
    resources:
        gpu=proposing_gpus,
    params:
        identity=photo_identity,
        version=proposals.VERSION,
        photos="results/{study}/data/photos",
        options=source_options,
        number=setting("proposals", "count"),
        first=None,
    message:
        "Proposing {params.number} boxes for each photo of {wildcards.study}: {wildcards.source}, {wildcards.shard}"
    shell:
        'exec python "$SCRIPTS"/propose_shard.py --images {input.images} --photos {params.photos}'
        " --shard {wildcards.shard} --source {wildcards.source} --options {params.options:q}"
        " --weights '{input.weights}' --count {params.number} --first {params.first} --gpus {resources.gpu} --out {output} > {log} 2>&1"


rule collect_proposals:
    input:
        shards=proposal_shards,
    output:
        "results/{study}/proposals/{source}.parquet",
    log:
        "logs/{study}/collect_proposals/{source}.log",
    wildcard_constraints:
        source=FROM_PIXELS,
    message:
        "Collecting the {wildcards.source} boxes of {wildcards.study}"
    script:
        "../scripts/collect_proposals.py"


rule propose_csv:
    input:
        images=rules.collect_images.output.images,
        boxes=csv_file,
    output:
        "results/{study}/proposals/csv.parquet",
    log:
        "logs/{study}/propose_csv.log",
    params:
        number=setting("proposals", "count"),
    message:
        "Taking the proposals of {wildcards.study} from {input.boxes}"
    script:
        "../scripts/propose_csv.py"


rule propose_ground_truth:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
    output:
        "results/{study}/proposals/ground_truth.parquet",
    log:
        "logs/{study}/propose_ground_truth.log",
    params:
        identity=photo_identity,
    message:
        "Taking the true boxes of {wildcards.study} as proposals"
    script:
        "../scripts/propose_ground_truth.py"


rule propose_random:
    input:
        images=rules.collect_images.output.images,
        reference="results/{study}/proposals/bing.parquet",
    output:
        "results/{study}/proposals/random.parquet",
    log:
        "logs/{study}/propose_random.log",
    params:
        number=setting("proposals", "count"),
        seed=setting("proposals", "random", "seed"),
    message:
        "Placing boxes of BING's sizes at random in the photos of {wildcards.study}"
    script:
        "../scripts/propose_random.py"


rule measure_recall:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        proposals=recall_tables,
    output:
        "results/{study}/proposals/recall.json",
    log:
        "logs/{study}/measure_recall.log",
    params:
        number=setting("proposals", "count"),
    message:
        "Measuring how many objects of {wildcards.study} the proposals find"
    script:
        "../scripts/measure_recall.py"


# How well sources find the objects of one split, with long lists of boxes: not a part of a study's report, asked for
# by name: snakemake results/{study}/proposals/evidence/evidence.md
use rule propose_shard as propose_long with:
    output:
        "results/{study}/proposals/evidence/{source}/{shard}.parquet",
    log:
        "logs/{study}/evidence/{source}/{shard}.log",
    params:
        identity=photo_identity,
        version=proposals.VERSION,
        photos="results/{study}/data/photos",
        options=source_options,
        number=evidence_count,
        first=setting("proposals", "evidence", "photos"),


use rule collect_proposals as collect_long with:
    input:
        shards=evidence_shards,
    output:
        "results/{study}/proposals/evidence/{source}.parquet",
    log:
        "logs/{study}/evidence/{source}.log",


rule score_proposals:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        tables=evidence_tables,
    output:
        csv="results/{study}/proposals/evidence/evidence.csv",
        md="results/{study}/proposals/evidence/evidence.md",
    log:
        "logs/{study}/evidence/score_proposals.log",
    params:
        options=setting("proposals", "evidence"),
        random=setting("proposals", "random"),
        difficult=difficult_marks,
    message:
        "Scoring the proposals of {wildcards.study} on its {params.options[split]} split"
    script:
        "../scripts/score_proposals.py"


rule draw_evidence:
    input:
        rules.score_proposals.output.csv,
    output:
        "results/{study}/proposals/evidence/evidence.png",
        "results/{study}/proposals/evidence/evidence.pdf",
    log:
        "logs/{study}/evidence/draw_evidence.log",
    message:
        "Drawing how many objects of {wildcards.study} the proposals find"
    script:
        "../scripts/draw_evidence.py"


rule draw_top_boxes:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        tables=evidence_tables,
    output:
        "results/{study}/proposals/evidence/top_boxes.png",
        "results/{study}/proposals/evidence/top_boxes.pdf",
    log:
        "logs/{study}/evidence/draw_top_boxes.log",
    params:
        photos="results/{study}/data/photos",
        options=setting("proposals", "evidence"),
        random=setting("proposals", "random"),
    message:
        "Drawing the ten best proposals of photos of {wildcards.study}"
    script:
        "../scripts/draw_top_boxes.py"


rule evidence:
    input:
        rules.score_proposals.output,
        rules.draw_evidence.output,
        rules.draw_top_boxes.output,
    output:
        touch("results/{study}/proposals/evidence/all"),
    log:
        "logs/{study}/evidence/all.log",
    message:
        "The evidence on the proposals of {wildcards.study} is in results/{wildcards.study}/proposals/evidence"
