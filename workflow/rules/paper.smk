# The paper's tables that join several studies; the configuration says which.


rule make_table1:
    """Table 1 of the paper: the columns of the studies that `table1` names."""
    input:
        ohms=table1_metrics("ohms"),
        imagenet=table1_metrics("imagenet"),
    output:
        report(
            "results/paper/table1.html",
            category="The paper",
            labels={"figure": "Table 1, both columns"},
        ),
        collect("results/paper/table1.{suffix}", suffix=["csv", "md", "tex"]),
    log:
        "logs/paper/make_table1.log",
    params:
        version=versions.REPORT,
        contrasts=[],
        names={},
        columns=lambda _: {
            column: answer(study, "names")
            for column, study in config["table1"].items()
            if study
        },
    message:
        "Writing the paper's table 1: {output[0]}"
    script:
        "../scripts/make_table.py"
