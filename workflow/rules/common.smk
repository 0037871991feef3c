# The configuration, checked, and the short functions that rules share.
import json
import shlex
import sys
from pathlib import Path

from oac import configuration, proposals, studies
from oac.data import sources
from oac.data.openimages import annotation_files
from oac.pretrain import recipe as recipes
from oac.report.paper import TABLE_1, VALUES, paper_value
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
SCHEMAS = ROOT / "workflow/schemas"

try:
    config.update(
        configuration.checked(
            dict(config),
            configuration.read_yaml(SCHEMAS / "config.schema.yaml"),
            "the configuration (config/config.yaml, --configfile, --config)",
        )
    )
    STUDIES = studies.load(
        [
            *(ROOT / "config/studies").glob("*.yaml"),
            *(ROOT / file for file in config["study_files"]),
        ],
        SCHEMAS / "study.schema.yaml",
    )
    # --config hands a null inside of braces on as text.
    config["table1"] = {
        column: None if name == "null" else name
        for column, name in config["table1"].items()
    }
    studies.check_names(config, STUDIES)
except configuration.ConfigError as error:
    raise WorkflowError(str(error)) from None

GPUS = studies.gpus(config["gpu"])
# Shards that are fetched at a time, so that a machine of many cores is no burden for a server.
if workflow.is_main_process and "downloads" not in workflow.global_resources:
    workflow.register_resource("downloads", 4)
# A job that a cluster runs is a call of Snakemake of its own, without the budget: its cards are counted already.
if workflow.is_main_process:
    # A profile can be switched off or overridden; the budget of one GPU must survive that.
    if "gpu" not in workflow.global_resources:
        workflow.register_resource("gpu", 1)
    BUDGET = workflow.global_resources["gpu"].value
    if GPUS > BUDGET:
        raise WorkflowError(
            f"a run takes {GPUS} GPUs (`gpu` of the configuration), and this call of Snakemake may use {BUDGET}: add"
            f" --resources gpu={GPUS}, or as many as the machine has"
        )

# Jobs run with the interpreter that Snakemake runs with, whether its environment is activated or not, and find the
# scripts beside the Snakefile from any working directory.
shell.prefix(
    f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" SCRIPTS={shlex.quote(str(ROOT / 'workflow/scripts'))}; "
)


wildcard_constraints:
    # Any name, so that study_named answers one that no study has; Snakemake would only say that no rule fits.
    study="[^/]+",
    split="train|validation|test",
    shard="(train|validation|test)-[0-9]{3}",
    method="[a-z0-9_]+",
    crops="[a-z0-9-]+",
    seed="[0-9]+",
    option="|".join(studies.ABLATIONS),


def study_named(name):
    """The study of that name; a path can hold one that there is not."""
    try:
        return studies.find(STUDIES, name)
    except configuration.ConfigError as error:
        raise WorkflowError(str(error)) from None


def study_of(wildcards):
    """The study that a job belongs to."""
    return study_named(wildcards.study)


def setting(*keys):
    """Make a function of a job that looks up a value of its study, for use in params."""

    def look_up(wildcards):
        value = study_of(wildcards)
        for key in keys:
            value = value[key]
        return value

    return look_up


def run_recipe(wildcards):
    """Everything that changes a run's weights, as canonical JSON."""
    try:
        recipe = recipes.build(
            study_of(wildcards), wildcards.method, wildcards.crops, int(wildcards.seed)
        )
    except KeyError as error:
        raise WorkflowError(error.args[0]) from None
    return recipes.canonical(recipe)


def untrained_recipe(wildcards):
    """The recipe of the reference row; it has neither method nor crops in its path's wildcards."""
    recipe = recipes.build(
        study_of(wildcards), recipes.UNTRAINED, studies.UNCROPPED, int(wildcards.seed)
    )
    return recipes.canonical(recipe)


def state_folder(wildcards):
    """Where a run's checkpoints live, undeclared; another recipe gets another folder."""
    digest = recipes.digest(
        recipes.build(
            study_of(wildcards), wildcards.method, wildcards.crops, int(wildcards.seed)
        )
    )
    return f"state/{wildcards.study}-{wildcards.method}-{wildcards.crops}-seed{wildcards.seed}-{digest}"


def run_files(study, pattern):
    """The files of all runs of a study: `pattern` has the wildcards method, crops and seed."""
    return [
        pattern.format(study=study, method=method, crops=crops, seed=seed)
        for method, crops, seed in studies.runs(study_named(study))
    ]


def photo_identity(wildcards):
    """What decides the photos and boxes of all splits.

    Whatever reads photos has this for a parameter. The tables in between can come out with the same bytes when the
    photos behind them do not, and after an interruption nothing else would tell Snakemake.
    """
    data = study_of(wildcards)["data"]
    identity = recipes.data_identity(data, ("train", "validation", "test"))
    return json.dumps(identity, sort_keys=True)


def subset_options(wildcards):
    """What decides a subset, without the places where its source lies."""
    data = study_of(wildcards)["data"]
    return {
        "source": data["source"],
        data["source"]: data.get(data["source"], {}),
        "subset": data["subset"],
        "shards": data["store"]["shards"],
    }


def shard_indexes(wildcards):
    """The index files of all shards of a study's image store."""
    return [
        f"results/{wildcards.study}/data/photos/{split}/{split}-{number:03d}.index.parquet"
        for split, count in study_of(wildcards)["data"]["store"]["shards"].items()
        for number in range(count)
    ]


def release_location(wildcards):
    """Where the annotation files of a study are fetched from."""
    data = study_of(wildcards)["data"]
    if data["source"] == "synthetic":
        return f"resources/{wildcards.study}/published"
    for place in (data["location"], sources.annotations_address(data)):
        folder = sources.local_folder(place)
        if "://" not in folder and not Path(folder).is_dir():
            raise WorkflowError(
                f"study {wildcards.study}: data.location {place} is no folder; put the data set there, or"
                f" change data.location in the study file (docs/data.md says how it must lie and where it comes from)"
            )
    return sources.annotations_address(data)


def is_verified(wildcards):
    """Whether the annotation files of a study are compared with the published sizes and md5."""
    return sources.is_verified(study_of(wildcards)["data"])


def photo_location(wildcards):
    """Where the photos of a study are fetched from."""
    data = study_of(wildcards)["data"]
    release = release_location(wildcards)
    return release if data["source"] == "synthetic" else sources.photos_address(data)


def fetches(wildcards):
    """Whether a shard's job asks a server: 1 or 0 of the budget `downloads`."""
    return int(photo_location(wildcards).startswith("http"))


def published_file(wildcards):
    """The file that a download reads, where the workflow makes it itself."""
    synthetic = study_of(wildcards)["data"]["source"] == "synthetic"
    return (
        f"resources/{wildcards.study}/published/{wildcards.file}" if synthetic else []
    )


def source_files(wildcards):
    """The files of a study's source that lie where the study file says."""
    release_location(wildcards)
    return sources.local_files(study_of(wildcards)["data"])


def release_files(wildcards):
    """The annotation files that a study's subset is chosen from, downloaded."""
    return [
        f"resources/{wildcards.study}/release/{file}"
        for file in sources.annotation_files(study_of(wildcards)["data"])
    ]


def run_boxes(wildcards):
    """The proposals that a run's crop line draws from; nothing for lines without boxes."""
    line = study_of(wildcards)["crops"].get(wildcards.crops, {})
    return (
        f"results/{wildcards.study}/proposals/{line['boxes']}.parquet"
        if "boxes" in line
        else []
    )


def crop_line(wildcards):
    """How a crop line cuts."""
    lines = study_of(wildcards)["crops"]
    if wildcards.crops not in lines:
        raise WorkflowError(
            f"study {wildcards.study} has no {wildcards.crops!r} in `crops`: there are {', '.join(lines)}"
        )
    return recipes.cuts(lines[wildcards.crops])


def overlap_lines(wildcards):
    """How each crop line that MoCo-v2 is trained with cuts, by name."""
    study = study_of(wildcards)
    return {
        name: recipes.cuts(study["crops"][name]) for name in studies.contrasted(study)
    }


def overlap_boxes(wildcards):
    """The proposals of those lines, each file once."""
    lines = overlap_lines(wildcards).values()
    used = dict.fromkeys(line["boxes"] for line in lines if "boxes" in line)
    return [f"results/{wildcards.study}/proposals/{source}.parquet" for source in used]


def bing_training(wildcards):
    """The options of BING's training as JSON; suppression is an option of its use."""
    options = study_of(wildcards)["proposals"]["bing"]
    return json.dumps(
        {
            key: value
            for key, value in options.items()
            if key not in ("nms_iou", "weights")
        },
        sort_keys=True,
    )


FROM_PIXELS = "|".join(studies.FROM_PIXELS)


def bing_weights(wildcards):
    """The weights that a shard's boxes are proposed with; nothing for other sources and for those in the package."""
    bing = study_of(wildcards)["proposals"]["bing"]
    trained = wildcards.source == "bing" and bing.get("weights") != "packaged"
    return f"results/{wildcards.study}/proposals/bing.json" if trained else []


def source_options(wildcards):
    """The options of a source's use as JSON; those of BING's training are in its weights."""
    options = study_of(wildcards)["proposals"].get(wildcards.source, {})
    if wildcards.source == "bing":
        options = {"nms_iou": options["nms_iou"]}
    return json.dumps(options, sort_keys=True)


def proposing_gpus(wildcards):
    """GPUs that a shard's proposals are made on: BING has batches for one, the other sources are of OpenCV's."""
    return min(GPUS, 1) if wildcards.source == "bing" else 0


def shards_of(study, split):
    """The shards of a split of a study."""
    count = study["data"]["store"]["shards"].get(split, 0)
    return [f"{split}-{number:03d}" for number in range(count)]


def proposal_shards(wildcards):
    """The proposals of all shards of a study."""
    study = study_of(wildcards)
    names = [
        shard
        for split in study["data"]["store"]["shards"]
        for shard in shards_of(study, split)
    ]
    folder = f"results/{wildcards.study}/proposals/{wildcards.source}"
    return [f"{folder}/{shard}.parquet" for shard in names]


def csv_file(wildcards):
    """The file of boxes that a study names."""
    study = study_of(wildcards)
    if "csv" not in study["proposals"]:
        raise WorkflowError(
            f"study {wildcards.study} has no proposals.csv: name the file of boxes there"
        )
    return study["proposals"]["csv"]["file"]


def evidence_count(wildcards):
    """The longest list of boxes that is scored."""
    return max(study_of(wildcards)["proposals"]["evidence"]["counts"])


def evidence_shards(wildcards):
    """The long lists of the shards of the split that is scored."""
    study = study_of(wildcards)
    folder = f"results/{wildcards.study}/proposals/evidence/{wildcards.source}"
    split = study["proposals"]["evidence"]["split"]
    return [f"{folder}/{shard}.parquet" for shard in shards_of(study, split)]


def evidence_tables(wildcards):
    """The long lists of all sources that a study compares; random boxes are drawn from BING's as they are scored."""
    options = study_of(wildcards)["proposals"]["evidence"]
    folder = f"results/{wildcards.study}/proposals"
    from_pixels = dict.fromkeys(
        "bing" if source == "random" else source for source in options["sources"]
    )
    return [
        (
            f"{folder}/evidence/{source}.parquet"
            if source in studies.FROM_PIXELS
            else f"{folder}/{source}.parquet"
        )
        for source in from_pixels
    ]


def difficult_marks(wildcards):
    """The folder whose annotations mark difficult objects; none where the source has no such mark."""
    return sources.difficult_marks(study_of(wildcards)["data"])


def recall_sources(wildcards):
    """The sources whose recall is measured: those in use that can miss an object, and random boxes to compare."""
    used = [
        source
        for source in studies.box_sources(study_of(wildcards))
        if source != "ground_truth"
    ]
    return dict.fromkeys([*used, *(["random"] if used else [])])


def recall_tables(wildcards):
    """The proposals of those sources."""
    return [
        f"results/{wildcards.study}/proposals/{source}.parquet"
        for source in recall_sources(wildcards)
    ]


def trained_runs(wildcards):
    """The runs of a study that have a training curve."""
    return [
        run for run in studies.runs(study_of(wildcards)) if run[0] != recipes.UNTRAINED
    ]


def shown_lines(wildcards):
    """The crop lines that figures with a curve for each show; None for the first of them."""
    return study_of(wildcards)["report"].get("lines")


def histories(wildcards):
    """The histories of those runs."""
    folder = f"results/{wildcards.study}/pretrain"
    return [
        f"{folder}/{method}/{crops}/seed{seed}/history.jsonl"
        for method, crops, seed in trained_runs(wildcards)
    ]


def augmented_views(wildcards):
    """The features that a run's classifier is trained on, where they are not those of the test view."""
    if "views" not in study_of(wildcards)["probe"]:
        return []
    return "results/{study}/probe/{method}/{crops}/seed{seed}/views.safetensors".format(
        **wildcards
    )


def probe_files(name):
    """Make a function that lists one file of the probe for all runs of a study."""

    def look_up(wildcards):
        return run_files(
            wildcards.study,
            f"results/{{study}}/probe/{{method}}/{{crops}}/seed{{seed}}/{name}",
        )

    return look_up


def summary_figures(wildcards):
    """The figures on a study's page."""
    return figure_files(wildcards.study)


def figure_files(study):
    """The figures that a study has something to show in."""
    options = study_named(study)
    lines, runs = options["crops"], studies.runs(options)
    contrasted = {
        lines[crops]["policy"] for method, crops, _ in runs if method == "moco_v2"
    }
    names = [
        "map_by_policy",
        "ap_by_size",
        "ap_by_frequency",
        "images_per_class",
        "objects_per_image",
    ]
    names += [f"crops_{name}" for name in lines]
    if {"scene-scene"} < contrasted:
        names.append("ap_per_class")
    if any(method != recipes.UNTRAINED for method, _, _ in runs):
        names.append("training_curves")
    names += ["audit"] if studies.is_audit(options) else []
    names += [f"ablation_{option}" for option in studies.ablations(options)]
    names += ["overlap"] if len(studies.contrasted(options)) > 1 else []
    if any(source != "ground_truth" for source in studies.box_sources(options)):
        names.append("recall")
    return [f"results/{study}/report/figures/{name}.png" for name in names]


def table_names(study):
    """The tables that a study has something to show in."""
    options = study_named(study)
    audit = ["audit"] if studies.is_audit(options) else []
    ablations = [f"ablation_{option}" for option in studies.ablations(options)]
    overlap = ["overlap"] if len(studies.contrasted(options)) > 1 else []
    return ["crops", "methods", "pairs", *audit, *ablations, *overlap, "paper", "runs"]


def summary_tables(wildcards):
    """The tables on a study's page."""
    folder = f"results/{wildcards.study}/report/tables"
    return [f"{folder}/{name}.md" for name in table_names(wildcards.study)]


def report_files(study):
    """Everything of a study that the HTML report shows."""
    pages = ["verdicts", *(f"tables/{name}" for name in table_names(study))]
    return [
        *(f"results/{study}/report/{page}.html" for page in pages),
        *figure_files(study),
        f"results/{study}/report/summary.md",
    ]


def table1_metrics(column):
    """The metrics of the runs that stand in a column of the paper's table 1; none where the column has no study."""
    name = config["table1"][column]
    if name is None:
        return []
    study = study_named(name)
    found = []
    for method, crops, seed in studies.runs(study):
        line = study["crops"].get(crops, {})
        if paper_value(method, line.get("policy"), line.get("boxes")) in [
            VALUES[key] for key in TABLE_1
        ]:
            found.append(
                f"results/{name}/probe/{method}/{crops}/seed{seed}/metrics.json"
            )
    return found
