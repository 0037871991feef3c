# The workflow as the linter wants it. Of each rule it asks for a container or a conda environment. There is none: jobs
# run in the environment that Snakemake runs in, which requirements.txt pins. Everything else that it finds fails.
container: "none"


include: "../Snakefile"
