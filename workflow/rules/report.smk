# Stage 5: the numbers of many runs into tables, figures, verdicts and one page that holds them.

METRICS = ask("probe_files", "metrics.json")


# How the two crops of each variant overlap needs no training: snakemake results/demo/report/overlap.csv
rule measure_overlap:
    input:
        images=rules.collect_images.output.images,
        boxes=rules.select_subset.output.boxes,
        proposals=ask("moco_boxes"),
    output:
        "results/{study}/report/overlap.csv",
    log:
        "logs/{study}/measure_overlap.log",
    params:
        version=versions.REPORT,
        identity=ask("photo_identity"),
        variants=ask("moco_crop_params"),
    message:
        "Measuring how the two crops of each variant of {wildcards.study} overlap"
    script:
        "../scripts/measure_overlap.py"


rule check_paper:
    input:
        metrics=METRICS,
    output:
        "results/{study}/report/check.json",
    log:
        "logs/{study}/check_paper.log",
    params:
        version=versions.REPORT,
    message:
        "Comparing {wildcards.study} with the paper's numbers: {output}"
    script:
        "../scripts/check_paper.py"


rule write_verdicts:
    input:
        metrics=METRICS,
    output:
        # A page too, because the report's browser shows images and pages and nothing else.
        page=report(
            "results/{study}/report/verdicts.html",
            caption="../report/verdicts.rst",
            category="{study}",
            subcategory="Results",
            labels={"figure": "Verdicts"},
        ),
        md="results/{study}/report/verdicts.md",
    log:
        "logs/{study}/write_verdicts.log",
    params:
        version=versions.REPORT,
        contrasts=ask("contrasts"),
    message:
        "Writing the verdicts of {wildcards.study}"
    script:
        "../scripts/write_verdicts.py"


# Tables: name, caption, part of the report, label, and what they are made of besides the runs' metrics. Files of
# benchmarks are read beside the histories and are no inputs: a run without one is no reason to train it again.
TABLES = [
    ("crops", "tables", "Results", "Table of the crop variants", {}),
    ("methods", "tables", "Results", "Table of the methods", {}),
    ("pairs", "pairs", "Results", "Table of paired tests", {}),
    (
        "paper",
        "paper",
        "Results",
        "Table of the paper's numbers",
        {"check": rules.check_paper.output[0]},
    ),
    ("audit", "audit", "Audit", "Table of the audit", {}),
    ("ablation_{option}", "ablation", "Ablations", "Table of {option}", {}),
    (
        "overlap",
        "overlap",
        "Ablations",
        "Table of the overlap of the two crops",
        {"overlap": rules.measure_overlap.output[0]},
    ),
    (
        "runs",
        "runs",
        "Runs",
        "Table of the runs: recipes, cost, commands",
        {"histories": ask("histories")},
    ),
]
for table, caption, part, label, inputs in TABLES:

    rule:
        name:
            f"make_{table.partition('_')[0]}"
        input:
            **inputs,
            metrics=METRICS,
        output:
            report(
                f"results/{{study}}/report/tables/{table}.html",
                caption=f"../report/{caption}.rst",
                category="{study}",
                subcategory=part,
                labels={"figure": label},
            ),
            [
                f"results/{{study}}/report/tables/{table}{suffix}"
                for suffix in (".csv", ".md", ".tex")
            ],
        log:
            f"logs/{{study}}/tables/{table}.log",
        params:
            version=versions.REPORT,
            contrasts=ask("contrasts"),
        message:
            "Writing a table of {wildcards.study}: {output[0]}"
        script:
            "../scripts/make_table.py"


# Figures: name, caption, part of the report, label, and what they are drawn from.
AP = {"metrics": METRICS, "tables": ask("probe_files", "ap.csv")}
AP_BY_SIZE = {"metrics": METRICS, "tables": ask("probe_files", "ap_by_size.csv")}
FIGURES = [
    (
        "map_by_policy",
        "map_by_policy",
        "Results",
        "mAP of every variant",
        {"metrics": METRICS},
    ),
    ("ap_per_class", "ap_per_class", "Results", "AP of every class", AP),
    (
        "ap_by_size",
        "ap_by_size",
        "Results",
        "AP by object size (figure 3, left)",
        AP_BY_SIZE,
    ),
    (
        "ap_by_frequency",
        "ap_by_frequency",
        "Results",
        "AP by images per class (figure 3, right)",
        AP,
    ),
    (
        "audit",
        "audit",
        "Audit",
        "Effect of each option of the audit",
        {"metrics": METRICS},
    ),
    (
        "ablation_{option}",
        "ablation",
        "Ablations",
        "mAP by {option}",
        {"metrics": METRICS},
    ),
    (
        "overlap",
        "overlap",
        "Ablations",
        "mAP by overlap of the two crops (figure 7, left)",
        {"metrics": METRICS, "overlap": rules.measure_overlap.output[0]},
    ),
    (
        "training_curves",
        "training_curves",
        "Training",
        "Training curves",
        {"histories": ask("histories")},
    ),
    (
        "recall",
        "recall",
        "Proposals",
        "Recall of the proposals",
        {"recall": rules.measure_recall.output[0]},
    ),
    (
        "images_per_class",
        "subset",
        "Data",
        "Images per class",
        {"classes": rules.select_subset.output.classes},
    ),
    (
        "objects_per_image",
        "subset",
        "Data",
        "Objects per image",
        {
            "images": rules.collect_images.output.images,
            "boxes": rules.select_subset.output.boxes,
        },
    ),
]
for figure, caption, part, label, inputs in FIGURES:

    rule:
        name:
            f"draw_{figure.removesuffix('_{option}')}"
        input:
            **inputs,
        output:
            report(
                f"results/{{study}}/report/figures/{figure}.png",
                caption=f"../report/{caption}.rst",
                category="{study}",
                subcategory=part,
                labels={"figure": label},
            ),
            f"results/{{study}}/report/figures/{figure}.pdf",
        log:
            f"logs/{{study}}/figures/{figure}.log",
        params:
            version=versions.REPORT,
            variants=setting("report", "variants"),
        message:
            "Drawing a figure of {wildcards.study}: {output[0]}"
        script:
            "../scripts/draw.py"


rule draw_contact_sheet:
    input:
        images=rules.collect_images.output.images,
        proposals=ask("variant_boxes"),
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
        version=versions.REPORT,
        crops=ask("crop_params"),
        identity=ask("photo_identity"),
        photos="results/{study}/data/photos",
        view_size=ask("view_size"),
        augment=setting("pretrain", "augment"),
    message:
        "Drawing the crops of {wildcards.crops} on photos of {wildcards.study}"
    script:
        "../scripts/draw_contact_sheet.py"


rule write_summary:
    input:
        verdicts=ask("verdicts"),
        tables=ask("tables"),
        figures=ask("figures"),
        subset=rules.select_subset.output.summary,
        missing=rules.collect_images.output.missing,
        recall=ask("recall"),
        histories=ask("histories"),
    output:
        "results/{study}/report/summary.md",
    log:
        "logs/{study}/write_summary.log",
    params:
        version=versions.REPORT,
        description=setting("description"),
    message:
        "Results of {wildcards.study}: {output}"
    script:
        "../scripts/write_summary.py"
