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
            category="{study}",
            subcategory=parts.FOUND,
            labels={"figure": "Verdicts"},
        ),
        md="results/{study}/report/verdicts.md",
    log:
        "logs/{study}/write_verdicts.log",
    params:
        version=versions.REPORT,
        contrasts=ask("contrasts"),
        names=ask("names"),
    message:
        "Writing the verdicts of {wildcards.study}"
    script:
        "../scripts/write_verdicts.py"


# Tables, and what they are made of besides the runs' metrics. Files of benchmarks are read beside the histories and are
# no inputs: a run without one is no reason to train it again.
TABLES = {
    "crops": {},
    "methods": {},
    "pairs": {},
    "paper": {"check": rules.check_paper.output[0]},
    "audit": {},
    "ablation_{option}": {},
    "overlap": {"overlap": rules.measure_overlap.output[0]},
    "runs": {"histories": ask("histories")},
}
for table, inputs in TABLES.items():

    rule:
        name:
            f"make_{table.partition('_')[0]}"
        input:
            **inputs,
            metrics=METRICS,
        output:
            report(
                f"results/{{study}}/report/tables/{table}.html",
                category="{study}",
                subcategory=ask("section_of_table", table),
                labels={"figure": parts.table(table).label},
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
            names=ask("names"),
        message:
            "Writing a table of {wildcards.study}: {output[0]}"
        script:
            "../scripts/make_table.py"


# Figures, and what they are drawn from.
AP = {"metrics": METRICS, "tables": ask("probe_files", "ap.csv")}
FIGURES = {
    "map_by_policy": {"metrics": METRICS},
    "ap_per_class": AP,
    "ap_by_size": {
        "metrics": METRICS,
        "tables": ask("probe_files", "ap_by_size.csv"),
    },
    "ap_by_frequency": AP,
    "audit": {"metrics": METRICS},
    "ablation_{option}": {"metrics": METRICS},
    "overlap": {"metrics": METRICS, "overlap": rules.measure_overlap.output[0]},
    "training_curves": {"histories": ask("histories")},
    "recall": {"recall": rules.measure_recall.output[0]},
    "images_per_class": {"classes": rules.select_subset.output.classes},
    "objects_per_image": {
        "images": rules.collect_images.output.images,
        "boxes": rules.select_subset.output.boxes,
    },
}
for figure, inputs in FIGURES.items():

    rule:
        name:
            f"draw_{figure.removesuffix('_{option}')}"
        input:
            **inputs,
        output:
            report(
                f"results/{{study}}/report/figures/{figure}.png",
                category="{study}",
                subcategory=ask("section_of_figure", figure),
                labels={"figure": parts.figure(figure).label},
            ),
            f"results/{{study}}/report/figures/{figure}.pdf",
        log:
            f"logs/{{study}}/figures/{figure}.log",
        params:
            version=versions.REPORT,
            variants=setting("report", "variants"),
            names=ask("names"),
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
            category="{study}",
            subcategory=parts.CROPS,
            labels={"figure": parts.figure("crops_{crops}").label},
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
        names=ask("names"),
    message:
        "Drawing the crops of {wildcards.crops} on photos of {wildcards.study}"
    script:
        "../scripts/draw_contact_sheet.py"


rule write_summary:
    input:
        verdicts=ask("verdicts"),
        tables=ask("tables"),
        pages=ask("table_pages"),
        figures=ask("figures"),
        subset=rules.select_subset.output.summary,
        classes=rules.select_subset.output.classes,
        missing=rules.collect_images.output.missing,
        photos=rules.collect_images.output.account,
        recall=ask("recall"),
        uncounted=ask("uncounted"),
        metrics=ask("tested"),
        histories=ask("histories"),
    output:
        markdown="results/{study}/report/summary.md",
        html="results/{study}/report.html",
    log:
        "logs/{study}/write_summary.log",
    params:
        version=versions.REPORT,
        description=setting("description"),
        names=ask("names"),
        main=ask("main_table"),
    message:
        "Results of {wildcards.study}: {output}"
    script:
        "../scripts/write_summary.py"
