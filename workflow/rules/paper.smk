# The paper's tables that join several studies; the configuration says which.


rule make_table1:
    input:
        ohms=table1_metrics("ohms"),
        imagenet=table1_metrics("imagenet"),
    output:
        report(
            "results/paper/table1.html",
            caption="../report/table1.rst",
            category="The paper",
            labels={"figure": "Table 1, both columns"},
        ),
        collect("results/paper/table1.{suffix}", suffix=["csv", "md", "tex"]),
    log:
        "logs/paper/make_table1.log",
    params:
        version=versions.REPORT,
        contrasts=[],
    message:
        "Writing the paper's table 1: {output[0]}"
    script:
        "../scripts/make_table.py"
