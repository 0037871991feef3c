# Stage 3: photos, boxes and a recipe into an encoder.


# The recipe is all that makes a run train again. Checkpoints live in params.state, undeclared, because Snakemake
# removes the outputs of a job that fails; `exec` hands SIGTERM to Python; code 75 and `retries` make a stopped run
# go on. On a cluster the call that submits tries again, not the one inside the job, whose time is up.
# Memory and threads are those of a machine, as SLURM counts them: there a job has one task on each.
rule pretrain:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        classes=rules.select_subset.output.classes,
        proposals=ask("variant_boxes"),
        init=ask("initial_weights"),
    output:
        encoder="results/{study}/pretrain/{method}/{crops}/seed{seed}/encoder.safetensors",
        history="results/{study}/pretrain/{method}/{crops}/seed{seed}/history.jsonl",
    log:
        "logs/{study}/pretrain/{method}/{crops}/seed{seed}.log",
    benchmark:
        "results/{study}/pretrain/{method}/{crops}/seed{seed}/benchmark.tsv"
    wildcard_constraints:
        method="(?!(random_init|pretrained)/)[a-z0-9_]+",
    retries: 3 if workflow.is_main_process else 0
    # On a CPU two runs side by side do more than one run on two cores; on a GPU these make the batches.
    threads: max(1, 8 * GPUS // NODES // RUNS_PER_GPU) if GPUS else 1
    resources:
        # A retry is for interruptions: what would fail again is not tried again.
        attempt=lambda wildcards, attempt: attempt,
        gpu=GPUS,
        # All on one machine, or all GPUs of each of several.
        nodes=NODES,
        # SLURM's executor starts a job that has this resource, whatever its value, without srun, which the script then
        # calls for all machines. 0 rather than `srun`, for which the executor would want several tasks on each.
        mpi=0 if NODES > 1 else None,
        # No parameters: those make a run train again.
        compile={True: "on", False: "off"}.get(config["compile"], "auto"),
        accumulate=ask("parts_of_a_batch"),
    params:
        recipe=ask("shared_recipe_text", GPUS),
        state=ask("state_folder"),
        photos="results/{study}/data/photos",
    message:
        "Pretraining {wildcards.study}: {wildcards.method} on {wildcards.crops}, seed {wildcards.seed} (log {log}, state in {params.state})"
    shell:
        'exec python "$SCRIPTS"/pretrain.py --images {input.images} --boxes {input.boxes}'
        " --classes {input.classes} --photos {params.photos} --proposals '{input.proposals}'"
        " --init={input.init:q} --recipe {params.recipe:q} --state {params.state} --threads {threads} --gpus {resources.gpu}"
        " --nodes {resources.nodes} --compile {resources.compile} --accumulate {resources.accumulate} --attempt {resources.attempt}"
        " --out {output.encoder} --history {output.history} > {log} 2>&1"


# A training says nothing on the screen until it ends; where to look is said once.
onstart:
    if any(job.rule.name == "pretrain" for job in workflow.dag.needrun_jobs()):
        outside = {Path(file).stem: file for file in config["study_files"]}
        names = [outside.get(name, name) for name in dict.fromkeys(ASKED)]
        logger.info(
            "How far trainings are: python -m oac.workflow.progress "
            + shlex.join(names)
        )


# The reference row of an untrained network needs no data.
rule initialise_encoder:
    output:
        encoder="results/{study}/pretrain/random_init/none/seed{seed}/encoder.safetensors",
        history="results/{study}/pretrain/random_init/none/seed{seed}/history.jsonl",
    log:
        "logs/{study}/pretrain/random_init/none/seed{seed}.log",
    params:
        recipe=ask("random_init_text"),
    message:
        "Initialising the untrained encoder of {wildcards.study}, seed {wildcards.seed}"
    script:
        "../scripts/initialise_encoder.py"


# The reference row of an encoder that there is; one of another study is made first.
rule adopt_encoder:
    input:
        ask("pretrained_encoder"),
    output:
        encoder="results/{study}/pretrain/pretrained/none/seed{seed}/encoder.safetensors",
        history="results/{study}/pretrain/pretrained/none/seed{seed}/history.jsonl",
    log:
        "logs/{study}/pretrain/pretrained/none/seed{seed}.log",
    params:
        recipe=ask("pretrained_text"),
    message:
        "Taking the encoder {input} for {wildcards.study}"
    script:
        "../scripts/initialise_encoder.py"
