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
        photos="results/{study}/data/photos",
        options=bing_training,
    message:
        "Training BING on the true boxes of {wildcards.study}"
    shell:
        'exec python "$SCRIPTS"/train_bing.py --images {input.images} --boxes {input.boxes}'
        " --photos {params.photos} --options {params.options:q} --out {output} > {log} 2>&1"


rule propose_bing:
    input:
        images=rules.collect_images.output.images,
        weights=rules.train_bing.output[0],
    output:
        "results/{study}/proposals/bing.parquet",
    log:
        "logs/{study}/propose_bing.log",
    threads: 16
    params:
        identity=photo_identity,
        photos="results/{study}/data/photos",
        number=setting("proposals", "count"),
        nms_iou=setting("proposals", "bing", "nms_iou"),
    message:
        "Proposing {params.number} BING boxes for each photo of {wildcards.study}"
    shell:
        'exec python "$SCRIPTS"/propose_bing.py --images {input.images} --weights {input.weights}'
        " --photos {params.photos} --count {params.number} --nms-iou {params.nms_iou}"
        " --processes {threads} --out {output} > {log} 2>&1"


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
        reference=rules.propose_bing.output[0],
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
