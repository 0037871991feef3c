# Stage 5: the numbers of many runs into tables, figures, verdicts and one page that holds them.


rule make_tables:
    input:
        metrics=probe_files("metrics.json"),
    output:
        # Pages, because the report's browser shows images and pages and nothing else.
        crops=report(
            "results/{study}/report/tables/crops.html",
            caption="../report/tables.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "Table of the crop policies"},
        ),
        methods=report(
            "results/{study}/report/tables/methods.html",
            caption="../report/tables.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "Table of the methods"},
        ),
        page=report(
            "results/{study}/report/verdicts.html",
            caption="../report/verdicts.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "Verdicts"},
        ),
        tables=collect(
            "results/{{study}}/report/tables/{table}.{suffix}",
            table=["crops", "methods"],
            suffix=["csv", "md", "tex"],
        ),
        verdicts="results/{study}/report/verdicts.md",
    log:
        "logs/{study}/make_tables.log",
    message:
        "Writing the tables and verdicts of {wildcards.study}"
    script:
        "../scripts/make_tables.py"


rule make_audit:
    input:
        metrics=probe_files("metrics.json"),
    output:
        report(
            "results/{study}/report/tables/audit.html",
            caption="../report/audit.rst",
            category="{study}",
            subcategory="Audit",
            labels={"figure": "Table of the audit"},
        ),
        collect(
            "results/{{study}}/report/tables/audit.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/{study}/make_audit.log",
    message:
        "Writing what each option of the audit is worth on {wildcards.study}"
    script:
        "../scripts/make_audit.py"


rule make_ablation:
    input:
        metrics=probe_files("metrics.json"),
    output:
        report(
            "results/{study}/report/tables/ablation_{option}.html",
            caption="../report/ablation.rst",
            category="{study}",
            subcategory="Ablations",
            labels={"figure": "Table of {option}"},
        ),
        collect(
            "results/{{study}}/report/tables/ablation_{{option}}.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/{study}/make_ablation/{option}.log",
    message:
        "Writing the ablation of {wildcards.option} on {wildcards.study}"
    script:
        "../scripts/make_ablation.py"


# How the two crops of each line overlap needs no training: snakemake results/demo/report/overlap.csv
rule measure_overlap:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        proposals=overlap_boxes,
    output:
        "results/{study}/report/overlap.csv",
    log:
        "logs/{study}/measure_overlap.log",
    params:
        identity=photo_identity,
        lines=overlap_lines,
    message:
        "Measuring how the two crops of each line of {wildcards.study} overlap"
    script:
        "../scripts/measure_overlap.py"


rule make_overlap:
    input:
        metrics=probe_files("metrics.json"),
        overlap=rules.measure_overlap.output[0],
    output:
        report(
            "results/{study}/report/tables/overlap.html",
            caption="../report/overlap.rst",
            category="{study}",
            subcategory="Ablations",
            labels={"figure": "Table of the overlap of the two crops"},
        ),
        collect(
            "results/{{study}}/report/tables/overlap.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/{study}/make_overlap.log",
    message:
        "Writing the overlap of the two crops beside the mAP on {wildcards.study}"
    script:
        "../scripts/make_overlap.py"


rule draw_overlap:
    input:
        metrics=probe_files("metrics.json"),
        overlap=rules.measure_overlap.output[0],
    output:
        report(
            "results/{study}/report/figures/overlap.png",
            caption="../report/overlap.rst",
            category="{study}",
            subcategory="Ablations",
            labels={"figure": "mAP by overlap of the two crops (figure 7, left)"},
        ),
        "results/{study}/report/figures/overlap.pdf",
    log:
        "logs/{study}/figures/overlap.log",
    message:
        "Drawing the mAP by overlap of the two crops on {wildcards.study}"
    script:
        "../scripts/draw_overlap.py"


rule check_paper:
    input:
        metrics=probe_files("metrics.json"),
    output:
        "results/{study}/report/check.json",
    log:
        "logs/{study}/check_paper.log",
    message:
        "Comparing {wildcards.study} with the paper's numbers: {output}"
    script:
        "../scripts/check_paper.py"


rule make_pairs:
    input:
        metrics=probe_files("metrics.json"),
    output:
        report(
            "results/{study}/report/tables/pairs.html",
            caption="../report/pairs.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "Table of paired tests"},
        ),
        collect(
            "results/{{study}}/report/tables/pairs.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/{study}/make_pairs.log",
    message:
        "Testing the lines of {wildcards.study} against each other"
    script:
        "../scripts/make_pairs.py"


rule make_paper:
    input:
        metrics=probe_files("metrics.json"),
        check=rules.check_paper.output[0],
    output:
        report(
            "results/{study}/report/tables/paper.html",
            caption="../report/paper.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "Table of the paper's numbers"},
        ),
        collect(
            "results/{{study}}/report/tables/paper.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/{study}/make_paper.log",
    message:
        "Writing the paper's numbers beside those of {wildcards.study}"
    script:
        "../scripts/make_paper.py"


# Benchmark files are read where they are and are no inputs: a run without one is no reason to train it again. Those of
# this study are written by then, since metrics.json is made after training.
rule make_runs:
    input:
        metrics=probe_files("metrics.json"),
        histories=histories,
    output:
        report(
            "results/{study}/report/tables/runs.html",
            caption="../report/runs.rst",
            category="{study}",
            subcategory="Runs",
            labels={"figure": "Table of the runs: recipes, cost, commands"},
        ),
        collect(
            "results/{{study}}/report/tables/runs.{suffix}",
            suffix=["csv", "md", "tex"],
        ),
    log:
        "logs/{study}/make_runs.log",
    params:
        benchmarks="benchmarks/{study}/pretrain",
    message:
        "Writing recipe, cost and command of every run of {wildcards.study}"
    script:
        "../scripts/make_runs.py"


rule draw_map_by_policy:
    input:
        metrics=probe_files("metrics.json"),
    output:
        report(
            "results/{study}/report/figures/map_by_policy.png",
            caption="../report/map_by_policy.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "mAP of every crop line"},
        ),
        "results/{study}/report/figures/map_by_policy.pdf",
    log:
        "logs/{study}/figures/map_by_policy.log",
    params:
        lines=shown_lines,
    message:
        "Drawing the mAP of every crop line of {wildcards.study}"
    script:
        "../scripts/draw_results.py"


use rule draw_map_by_policy as draw_ap_per_class with:
    input:
        metrics=probe_files("metrics.json"),
        tables=probe_files("ap.csv"),
    output:
        report(
            "results/{study}/report/figures/ap_per_class.png",
            caption="../report/ap_per_class.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "AP of every class"},
        ),
        "results/{study}/report/figures/ap_per_class.pdf",
    log:
        "logs/{study}/figures/ap_per_class.log",
    message:
        "Drawing the AP of every class of {wildcards.study}"


use rule draw_map_by_policy as draw_ap_by_size with:
    input:
        metrics=probe_files("metrics.json"),
        tables=probe_files("ap_by_size.csv"),
    output:
        report(
            "results/{study}/report/figures/ap_by_size.png",
            caption="../report/ap_by_size.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "AP by object size (figure 3, left)"},
        ),
        "results/{study}/report/figures/ap_by_size.pdf",
    log:
        "logs/{study}/figures/ap_by_size.log",
    message:
        "Drawing AP by object size of {wildcards.study}"


use rule draw_map_by_policy as draw_ap_by_frequency with:
    input:
        metrics=probe_files("metrics.json"),
        tables=probe_files("ap.csv"),
    output:
        report(
            "results/{study}/report/figures/ap_by_frequency.png",
            caption="../report/ap_by_frequency.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "AP by images per class (figure 3, right)"},
        ),
        "results/{study}/report/figures/ap_by_frequency.pdf",
    log:
        "logs/{study}/figures/ap_by_frequency.log",
    message:
        "Drawing AP by images per class of {wildcards.study}"


use rule draw_map_by_policy as draw_audit with:
    output:
        report(
            "results/{study}/report/figures/audit.png",
            caption="../report/audit.rst",
            category="{study}",
            subcategory="Audit",
            labels={"figure": "What each option of the audit is worth"},
        ),
        "results/{study}/report/figures/audit.pdf",
    log:
        "logs/{study}/figures/audit.log",
    message:
        "Drawing what each option of the audit is worth on {wildcards.study}"


use rule draw_map_by_policy as draw_ablation with:
    output:
        report(
            "results/{study}/report/figures/ablation_{option}.png",
            caption="../report/ablation.rst",
            category="{study}",
            subcategory="Ablations",
            labels={"figure": "mAP by {option}"},
        ),
        "results/{study}/report/figures/ablation_{option}.pdf",
    log:
        "logs/{study}/figures/ablation_{option}.log",
    message:
        "Drawing the ablation of {wildcards.option} on {wildcards.study}"


rule draw_training_curves:
    input:
        histories,
    output:
        report(
            "results/{study}/report/figures/training_curves.png",
            caption="../report/training_curves.rst",
            category="{study}",
            subcategory="Training",
            labels={"figure": "Training curves"},
        ),
        "results/{study}/report/figures/training_curves.pdf",
    log:
        "logs/{study}/figures/training_curves.log",
    params:
        runs=trained_runs,
        lines=shown_lines,
    message:
        "Drawing the training curves of {wildcards.study}"
    script:
        "../scripts/draw_training_curves.py"


rule draw_contact_sheet:
    input:
        images=rules.collect_images.output.images,
        proposals=run_boxes,
    output:
        report(
            "results/{study}/report/figures/crops_{crops}.png",
            caption="../report/contact_sheet.rst",
            category="{study}",
            subcategory="Crops",
            labels={"figure": "Crops of {crops}"},
        ),
        "results/{study}/report/figures/crops_{crops}.pdf",
    log:
        "logs/{study}/figures/crops_{crops}.log",
    params:
        line=crop_line,
        identity=photo_identity,
        photos="results/{study}/data/photos",
        view_size=setting("pretrain", "view_size"),
        augment=setting("pretrain", "augment"),
    message:
        "Drawing the crops of {wildcards.crops} on photos of {wildcards.study}"
    script:
        "../scripts/draw_contact_sheet.py"


rule draw_recall:
    input:
        rules.measure_recall.output[0],
    output:
        report(
            "results/{study}/report/figures/recall.png",
            caption="../report/recall.rst",
            category="{study}",
            subcategory="Proposals",
            labels={"figure": "Recall of the proposals"},
        ),
        "results/{study}/report/figures/recall.pdf",
    log:
        "logs/{study}/figures/recall.log",
    message:
        "Drawing the recall of the proposals of {wildcards.study}"
    script:
        "../scripts/draw_recall.py"


rule draw_images_per_class:
    input:
        rules.select_subset.output.classes,
    output:
        report(
            "results/{study}/report/figures/images_per_class.png",
            caption="../report/subset.rst",
            category="{study}",
            subcategory="Data",
            labels={"figure": "Images per class"},
        ),
        "results/{study}/report/figures/images_per_class.pdf",
    log:
        "logs/{study}/figures/images_per_class.log",
    message:
        "Drawing the images per class of {wildcards.study}"
    script:
        "../scripts/draw_images_per_class.py"


rule draw_objects_per_image:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
    output:
        report(
            "results/{study}/report/figures/objects_per_image.png",
            caption="../report/subset.rst",
            category="{study}",
            subcategory="Data",
            labels={"figure": "Objects per image"},
        ),
        "results/{study}/report/figures/objects_per_image.pdf",
    log:
        "logs/{study}/figures/objects_per_image.log",
    message:
        "Drawing the objects per image of {wildcards.study}"
    script:
        "../scripts/draw_objects_per_image.py"


rule write_summary:
    input:
        verdicts=rules.make_tables.output.verdicts,
        tables=summary_tables,
        figures=summary_figures,
        missing=rules.collect_images.output.missing,
        histories=histories,
    output:
        "results/{study}/report/summary.md",
    log:
        "logs/{study}/write_summary.log",
    params:
        description=setting("description"),
    message:
        "Results of {wildcards.study}: {output}"
    script:
        "../scripts/write_summary.py"
