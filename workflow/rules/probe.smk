# Stage 4: an encoder and labelled photos into average precision.


rule extract_features:
    input:
        images=rules.collect_images.output.images,
        encoder="results/{study}/pretrain/{method}/{crops}/seed{seed}/encoder.safetensors",
    output:
        "results/{study}/probe/{method}/{crops}/seed{seed}/features.safetensors",
    log:
        "logs/{study}/extract_features/{method}/{crops}/seed{seed}.log",
    threads: max(1, 8 // RUNS_PER_GPU) if GPUS else 1
    resources:
        gpu=min(GPUS, 1),
    params:
        version=versions.PROBE,
        identity=ask("photo_identity"),
        photos="results/{study}/data/photos",
        view_size=setting("probe", "view_size"),
        squeeze=setting("probe", "squeeze"),
    message:
        "Embedding the photos of {wildcards.study}: {wildcards.method} on {wildcards.crops}, seed {wildcards.seed}"
    shell:
        'exec python "$SCRIPTS"/extract_features.py --images {input.images} --photos {params.photos}'
        " --encoder {input.encoder} --view-size {params.view_size} --squeeze {params.squeeze}"
        " --threads {threads} --gpus {resources.gpu} --out {output} > {log} 2>&1"


# Augmented views of the train photos, where a study trains its probe on them (probe.views).
rule extract_views:
    input:
        images=rules.extract_features.input.images,
        encoder=rules.extract_features.input.encoder,
    output:
        "results/{study}/probe/{method}/{crops}/seed{seed}/views.safetensors",
    log:
        "logs/{study}/extract_views/{method}/{crops}/seed{seed}.log",
    threads: max(1, 8 // RUNS_PER_GPU) if GPUS else 1
    resources:
        gpu=min(GPUS, 1),
    params:
        version=versions.PROBE,
        identity=ask("photo_identity"),
        photos="results/{study}/data/photos",
        view_size=setting("probe", "view_size"),
        views=setting("probe", "views"),
    message:
        "Embedding {params.views} views a photo of {wildcards.study}: {wildcards.method} on {wildcards.crops}, seed {wildcards.seed}"
    shell:
        'exec python "$SCRIPTS"/extract_features.py --images {input.images} --photos {params.photos}'
        " --encoder {input.encoder} --view-size {params.view_size} --views {params.views}"
        " --threads {threads} --gpus {resources.gpu} --out {output} > {log} 2>&1"


rule fit_probe:
    input:
        features=rules.extract_features.output[0],
        views=ask("augmented_views"),
        encoder=rules.extract_features.input.encoder,
        boxes=rules.select_subset.output.boxes,
        classes=rules.select_subset.output.classes,
    output:
        metrics="results/{study}/probe/{method}/{crops}/seed{seed}/metrics.json",
        ap="results/{study}/probe/{method}/{crops}/seed{seed}/ap.csv",
        ap_by_size="results/{study}/probe/{method}/{crops}/seed{seed}/ap_by_size.csv",
    log:
        "logs/{study}/fit_probe/{method}/{crops}/seed{seed}.log",
    resources:
        gpu=min(GPUS, 1),
    params:
        version=versions.PROBE,
        options=ask("given", "probe"),
    message:
        "Probing {wildcards.study}: {wildcards.method} on {wildcards.crops}, seed {wildcards.seed}"
    script:
        "../scripts/fit_probe.py"
