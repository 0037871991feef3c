# A grid of studies on images of different objects: when do crops around objects help? snakemake results/{study}/regimes.md


rule collect_regimes:
    input:
        metrics=ask("grid_metrics"),
        boxes=ask("grid_files", "data/boxes.parquet"),
        images=ask("grid_files", "data/images.parquet"),
    output:
        report(
            "results/{study}/regimes.html",
            category="{study}",
            labels={"figure": "Gain by size and number of objects, table"},
        ),
        [f"results/{{study}}/regimes{suffix}" for suffix in (".csv", ".md", ".tex")],
        report(
            "results/{study}/regimes.png",
            category="{study}",
            labels={"figure": "Gain by size and number of objects"},
        ),
        "results/{study}/regimes.pdf",
    log:
        "logs/{study}/collect_regimes.log",
    params:
        version=versions.REPORT,
        cells=ask("cells"),
        names=ask("names"),
    message:
        "Joining the studies of the grid {wildcards.study}: {output[0]}"
    script:
        "../scripts/regimes.py"
