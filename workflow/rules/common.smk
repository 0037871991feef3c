# The configuration, checked, and how rules ask a study for its files and options.
import inspect
import os
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

from oac import configuration, crop_options, gpus, studies, study_files, versions
from oac.data.openimages import annotation_files
from oac.report import parts
from oac.workflow import StudyFiles
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Of the file that is read, not of the one that Snakemake was started with, which can be another that includes it.
try:
    ROOT = Path(workflow.current_basedir).parents[1]
except TypeError:
    raise WorkflowError(
        "this workflow reads its studies and its package from a clone: clone the repository, and start Snakemake there"
        " (README.md)"
    ) from None

try:
    config.update(
        configuration.checked(
            dict(config),
            studies.config_schema(),
            "the configuration (config/config.yaml, --configfile, --config)",
        )
    )
    STUDIES, BROKEN = study_files.load(
        [
            *(ROOT / "config/studies").glob("*.yaml"),
            *(ROOT / file for file in config["study_files"]),
        ]
    )
    for key, where in (("photos", "location"), ("labels", "labels")):
        if (
            f"{key}=" in sys.argv
        ):  # an unset variable of the shell; Snakemake takes it for a null
            raise configuration.ConfigError(f"--config {key}= has no value: name it")
        for name in {"my_photos", "my_labels"} & STUDIES.keys():
            if config[key] is not None and where in STUDIES[name]["data"]:
                STUDIES[name]["data"][where] = str(config[key])
    # Where results exist already, Snakemake would not look for the folder.
    if config["photos"] is not None and workflow.is_main_process:
        StudyFiles(study_files.find(STUDIES, "my_photos", BROKEN)).shard_counts()
    # --config hands a null inside of braces on as text.
    config["table1"] = {
        column: None if name == "null" else name
        for column, name in config["table1"].items()
    }
    study_files.check_names(config, STUDIES, BROKEN)
    GPUS = gpus.resolve(config["gpu"])
    NODES = gpus.nodes(GPUS, config["gpus_per_node"])
    # What the command asks for is checked here, where Snakemake prints the sentence alone. The call of a job on a
    # cluster names no path, so it would check the configured studies, which the job may have nothing to do with.
    targets = [
        target.split("/")[1]
        for target in sys.argv[1:]
        if target.startswith("results/") and target.count("/") > 1
    ]
    if "paper" in sys.argv[1:]:
        targets += config["paper_studies"]
    if "encoder" in sys.argv[1:]:
        targets.append("my_photos")
    ASKED = targets or config["studies"]
    for name in ASKED if workflow.is_main_process else []:
        if name != "paper":
            study_files.find(STUDIES, name, BROKEN)
except configuration.ConfigError as error:
    raise WorkflowError(str(error)) from None

RUNS_PER_GPU = config["runs_per_gpu"]
os.environ[gpus.RUNS_PER_GPU] = str(RUNS_PER_GPU)  # for the jobs
if workflow.remote_exec and RUNS_PER_GPU > 1:
    raise WorkflowError(
        f"runs_per_gpu: {RUNS_PER_GPU} is for the GPUs of one machine, and a cluster gives each job GPUs of its own: set"
        " it to 1"
    )
# A job that a cluster runs is a call of Snakemake of its own, without warnings and budgets: it is counted already.
if workflow.is_main_process:
    # A broken study stops the commands that need it, and no others.
    for message in dict.fromkeys(BROKEN.values()):
        print(f"warning: {message}", file=sys.stderr)
    for file in (ROOT / "config/studies").glob("[!.]*.yml"):
        print(
            f"warning: {file} is left out: a study file ends in .yaml", file=sys.stderr
        )
    # Shards that are fetched at a time, so that a machine of many cores is no burden for a server; and a profile can
    # be switched off or overridden, which the budget of one GPU must survive.
    for name, budget in (("downloads", 4), ("gpu", 1)):
        if name not in workflow.global_resources:
            workflow.register_resource(name, budget)
    BUDGET = workflow.global_resources["gpu"].value
    if GPUS > BUDGET:
        raise WorkflowError(
            f"a run takes {GPUS} GPUs (`gpu` of the configuration), and this call of Snakemake may use {BUDGET}: add"
            f" --resources gpu={GPUS}, or as many as there are"
        )
    if NODES > 1 and shutil.which("sbatch") is None:
        raise WorkflowError(
            f"a run takes {GPUS} GPUs (`gpu` of the configuration) of machines of {config['gpus_per_node']}"
            " (`gpus_per_node`), so of several machines, which SLURM starts, and there is no sbatch here: set"
            " gpus_per_node to what this machine has, or start on a cluster's login node (docs/cluster.md)"
        )
    # From here on the budget counts places of runs, as the rules do.
    workflow.register_resource("gpu", BUDGET * RUNS_PER_GPU)

# Jobs run with the interpreter that Snakemake runs with, whether its environment is activated or not, and find the
# scripts beside the Snakefile from any working directory.
shell.prefix(
    f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" SCRIPTS={shlex.quote(str(ROOT / 'workflow/scripts'))}; "
)


wildcard_constraints:
    # Any name, so that `answer` refuses one that no study has; Snakemake would only say that no rule fits.
    study="[^/]+",
    split="train|validation|test",
    shard="(train|validation|test)-[0-9]{3}",
    method="[a-z0-9_]+",
    crops="[a-z0-9-]+",
    seed="[0-9]+",
    option="|".join(crop_options.ABLATIONS),


def answer(study, method, *arguments):
    """Call a method of a study's StudyFiles; a path can hold a study, or a part of one, that there is not."""
    try:
        files = StudyFiles(study_files.find(STUDIES, study, BROKEN))
        if method not in StudyFiles.OF_A_GRID:
            files.refuse_grid()
        return getattr(files, method)(*arguments)
    except configuration.ConfigError as error:
        raise WorkflowError(str(error)) from None


def ask(method, *fixed):
    """Make a function of a job that calls a method of its study's StudyFiles.

    Arguments that are not fixed here, the first ones, are the job's wildcards of the parameter's name.
    """
    parameters = list(inspect.signature(getattr(StudyFiles, method)).parameters)
    names = parameters[1 + len(fixed) :]
    return lambda wildcards: answer(
        wildcards.study, method, *fixed, *(wildcards[name] for name in names)
    )


# A function of a job that looks up a value of its study at some keys.
setting = partial(ask, "setting")


def configured(method):
    """Make a function that lists the files of all configured studies."""
    return lambda _: [
        file for study in config["studies"] for file in answer(study, method)
    ]


def table1_metrics(column):
    """Make a function that lists the metrics of a column of the paper's table 1; none where it has no study."""
    study = config["table1"][column]
    return lambda _: answer(study, "table1_metrics") if study else []
