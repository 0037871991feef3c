# Stage 4: an encoder and labelled photos into average precision.

# What is embedded: every photo in the test's view; and augmented views of the train photos, where a study trains its
# probe on them (probe.views).
EMBEDDED = [
    ("features", "the photos", {"squeeze": setting("probe", "squeeze")}),
    ("views", "{params.views} views a photo", {"views": setting("probe", "views")}),
]
for embedded, what, options in EMBEDDED:

    rule:
        name:
            f"extract_{embedded}"
        input:
            images=rules.collect_images.output.images,
            encoder="results/{study}/pretrain/{method}/{crops}/seed{seed}/encoder.safetensors",
        output:
            f"results/{{study}}/probe/{{method}}/{{crops}}/seed{{seed}}/{embedded}.safetensors",
        log:
            f"logs/{{study}}/extract_{embedded}/{{method}}/{{crops}}/seed{{seed}}.log",
        threads: max(1, 8 // RUNS_PER_GPU) if GPUS else 1
        resources:
            gpu=min(GPUS, 1),
        params:
            **options,
            version=versions.PROBE,
            identity=ask("photo_identity"),
            photos="results/{study}/data/photos",
            view_size=setting("probe", "view_size"),
        message:
            f"Embedding {what} of {{wildcards.study}}: {{wildcards.method}} on {{wildcards.crops}}, seed {{wildcards.seed}}"
        script:
            "../scripts/probe.py"


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
        "../scripts/probe.py"
