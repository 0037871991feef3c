# Object-aware cropping, from a data set to tables and figures. A path says all there is to say:
#   snakemake results/{study}/probe/{method}/{crops}/seed{n}/metrics.json
# Studies are described in config/studies, rules are in workflow/rules, a file per stage.
from snakemake.utils import min_version

min_version("9.19")


configfile: "config/config.yaml"


report: "workflow/report/index.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/proposals.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/paper.smk"
include: "workflow/rules/regimes.smk"


# Under --quiet Snakemake says that a job failed, and leaves out the log with the reason.
onerror:
    if workflow.output_settings.quiet:
        for job in workflow.scheduler.failed:
            for file in job.log:
                if Path(file).is_file():
                    print(f"{file}:\n{Path(file).read_text()}", file=sys.stderr)


localrules:
    all,
    paper,
    data,
    encoder,
    figures,
    report,
    check,


rule all:
    """The tables, figures and verdicts of the configured studies, each on one page (the default)."""
    default_target: True
    input:
        collect("results/{study}/report/summary.md", study=config["studies"]),


rule paper:
    """The paper's studies at its own size, its numbers beside ours, and the table that joins two of them."""
    input:
        collect(
            "results/{study}/report/{file}",
            study=config["paper_studies"],
            file=["summary.md", "check.json"],
        ),
        "results/paper/table1.md",


rule data:
    """The subset, the photo store and the authors' dicts of the configured studies."""
    input:
        collect(
            "results/{study}/data/{file}",
            study=config["studies"],
            file=["images.parquet", "images_selected_new.npy"],
        ),


rule encoder:
    """An encoder of a folder of photos, and a page about it: snakemake encoder --config photos=DIR."""
    input:
        "results/my_photos/report/summary.md",


rule figures:
    """The figures of the configured studies."""
    input:
        configured("figures"),


rule report:
    """The page of each configured study, report.html, and what Snakemake's own report shows beside it."""
    input:
        configured("report"),


rule check:
    """The verdicts of the configured studies, and the paper's numbers beside ours."""
    input:
        collect(
            "results/{study}/report/{file}",
            study=config["studies"],
            file=["verdicts.md", "check.json"],
        ),
