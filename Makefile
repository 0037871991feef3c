# make demo   the whole study on the embedded data set: tables, figures, HTML report
# make test   the tests, on two cores
# make report STUDY=demo   one HTML file of a study, and beside it Snakemake's own report: rules, run times, graph
# make lint   formatting, types, workflow rules
# make docs   the documentation as a site, build/site/index.html; a broken link fails
# make check-sources  asks the servers of Open Images whether the files of docs/data.md are there and as large
# make bench  training's speed on this machine beside a plain loop, results/bench/bench.json
# make bench-data     the data stage at the real size: annotations, a shard, a large store (10 GB of disk)
# make bench-proposals PHOTOS=folder   BING's speed and memory, OPENCV_MODEL=folder beside OpenCV's
# make bench-probe    average precision beside scikit-learn's, and a linear probe of the paper's size
# Each sets up .venv first, once; another Python: make PYTHON=python3.12 demo
PYTHON ?= python3
BIN := .venv/bin
PHONE := --report-stylesheet workflow/report/phone.css
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test report lint docs check-sources bench bench-data bench-proposals bench-probe

demo: .venv/.installed
	snakemake results/demo/report/summary.md
	snakemake --quiet rules --report results/demo/provenance.html $(PHONE) results/demo/report/summary.md
	@echo "Report:             results/demo/report.html"
	@echo "Tables and figures: results/demo/report/summary.md"

test: .venv/.installed
	pytest -q -n 2 --dist loadfile --no-loadscope-reorder

STUDY ?= demo
report: .venv/.installed
	snakemake --config studies='[$(STUDY)]' -- report
	snakemake --quiet rules --config studies='[$(STUDY)]' --report results/$(STUDY)/provenance.html $(PHONE) -- report
	@echo "Report: results/$(STUDY)/report.html"

lint: .venv/.installed
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow tests/lint.smk
	snakemake --snakefile tests/lint.smk --lint

# An environment of its own, which takes a minute where PyTorch's takes ten.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo "Documentation: build/site/index.html"

.venv-docs/.installed: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

check-sources: .venv/.installed
	python workflow/scripts/check_sources.py

bench: .venv/.installed
	python benchmarks/training.py

bench-data: .venv/.installed
	python benchmarks/annotations.py
	python benchmarks/photos.py

bench-proposals: .venv/.installed
	python benchmarks/proposals.py $(PHOTOS) $(if $(OPENCV_MODEL),--opencv-model $(OPENCV_MODEL))

bench-probe: .venv/.installed
	python benchmarks/probe.py

# The stamp is written last, so an interrupted installation is started again.
.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than Python 3.11; choose one: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
