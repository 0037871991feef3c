# Stage 1: a published data set into canonical tables, a subset and the image store.
ANNOTATIONS = annotation_files(["train", "validation", "test"])


# The synthetic release stands in for a server: everything behind this rule treats it like the real one.
rule make_release:
    output:
        files=collect("resources/{{study}}/published/{file}", file=ANNOTATIONS),
    log:
        "logs/{study}/make_release.log",
    params:
        version=versions.STORE,
        options=ask("synthetic_options"),
    message:
        "Rendering the synthetic images of {wildcards.study}"
    script:
        "../scripts/make_release.py"


rule download_annotations:
    input:
        ask("published_file"),
    output:
        "resources/{study}/release/{file}",
    log:
        "logs/{study}/download_annotations/{file}.log",
    wildcard_constraints:
        file="|".join(ANNOTATIONS),
    resources:
        # No parameter: those fetch finished files again.
        location=ask("release_location"),
    params:
        version=versions.STORE,
        verify=ask("is_verified"),
    message:
        "Fetching {wildcards.file} of {wildcards.study}"
    script:
        "../scripts/download_annotations.py"


# Filters that leave nothing must end before the subset there is, because Snakemake removes a job's outputs when the
# job starts. (update() would keep them, but then calls them finished under the new options.)
rule check_subset:
    input:
        source=ask("source_files"),
        release=ask("release_files"),
    output:
        steps="resources/{study}/subset_checked.json",
    log:
        "logs/{study}/check_subset.log",
    resources:
        # No parameter: a data set may be moved.
        source=ask("source_location"),
        photos=ask("photo_location"),
        # No parameter: the probe chooses no photos.
        single_label=ask("single_label"),
    params:
        version=versions.STORE,
        options=ask("subset_options"),
    message:
        "Trying the filters of {wildcards.study}"
    script:
        "../scripts/select_subset.py"


rule select_subset:
    input:
        source=ask("source_files"),
        release=ask("release_files"),
        checked=rules.check_subset.output.steps,
    output:
        selection="results/{study}/data/selection.parquet",
        boxes="results/{study}/data/boxes.parquet",
        classes="results/{study}/data/classes.csv",
        summary="results/{study}/data/summary.json",
        page="results/{study}/data/summary.md",
    log:
        "logs/{study}/select_subset.log",
    resources:
        # No parameter: a data set may be moved.
        source=ask("source_location"),
        photos=ask("photo_location"),
    params:
        version=versions.STORE,
        options=ask("subset_options"),
    message:
        "Choosing the photos and classes of {wildcards.study}"
    script:
        "../scripts/select_subset.py"


# For use with the authors' code; nothing here reads them.
rule export_dicts:
    input:
        boxes=rules.select_subset.output.boxes,
        selection=rules.select_subset.output.selection,
    output:
        labels="results/{study}/data/images_selected_new.npy",
        features="results/{study}/data/images_selected_with_all_features.npy",
        test="results/{study}/data/images_selected_test_40k.npy",
    log:
        "logs/{study}/export_dicts.log",
    message:
        "Writing the dicts of {wildcards.study} as the paper's authors share theirs"
    script:
        "../scripts/export_dicts.py"


rule store_photos:
    input:
        selection=rules.select_subset.output.selection,
    output:
        tar="results/{study}/data/photos/{split}/{shard}.tar",
        index="results/{study}/data/photos/{split}/{shard}.index.parquet",
        missing="results/{study}/data/photos/{split}/{shard}.missing.csv",
    log:
        "logs/{study}/store_photos/{split}/{shard}.log",
    # Photos are decoded on two cores while others are fetched. A server sees 16 connections of each job, so that only
    # so many jobs may ask one at a time: --resources downloads=8 allows 8.
    threads: 2
    resources:
        downloads=ask("downloads"),
        # No parameters: those store finished shards again.
        location=ask("photo_location"),
        max_missing_share=ask("max_missing_share"),
        orientation=ask("orientation"),  # the identity has it
    params:
        version=versions.STORE,
        identity=ask("photo_identity"),
        long_side=setting("data", "store", "long_side"),
        quality=setting("data", "store", "quality"),
    message:
        "Storing the photos of {wildcards.study}, {wildcards.shard}"
    shell:
        'exec python "$SCRIPTS"/store_photos.py --selection {input.selection} --shard {wildcards.shard}'
        " --location {resources.location:q} --long-side {params.long_side} --quality {params.quality}"
        " --orientation {resources.orientation}"
        " --max-missing-share {resources.max_missing_share} --threads {threads}"
        " --tar {output.tar} --index {output.index} --missing {output.missing} > {log} 2>&1"


# The manifest that everything later depends on: the shards' archives are no input of any rule, so that Snakemake
# never hashes photos.
rule collect_images:
    input:
        indexes=ask("shard_indexes"),
        selection=rules.select_subset.output.selection,
    output:
        images="results/{study}/data/images.parquet",
        missing="results/{study}/data/missing.csv",
        account="results/{study}/data/photos.json",
    log:
        "logs/{study}/collect_images.log",
    resources:
        # No parameters, as of store_photos.
        location=ask("photo_location"),
        max_missing_share=ask("max_missing_share"),
    message:
        "Listing the photos of {wildcards.study} that are in the store"
    script:
        "../scripts/collect_images.py"
