"""One word for each thing: the words of docs/glossary.md, and none of those that they replaced."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SEARCHED = (
    "src",
    "workflow",
    "benchmarks",
    "config",
    "docs",
    "profiles",
    "tests",
    "README.md",
    "Makefile",
    "Snakefile",
)
TEXT = {".bib", ".cff", ".css", ".csv", ".json", ".md", ".py", ".rst", ".smk", ".svg", ".tex", ".txt", ".yaml", ""}
EXEMPT = {"tests/test_words.py"}

# What is meant, and a pattern of the words that nobody uses for it any more.
OLD_WORDS = {
    "variant": r"crop[ _-]lines?\b|\blines? of runs\b|\blines?_of\b|\b(shown|overlap|crop)_lines?\b|\barms?\b",
    "significant difference": r"\btold apart\b|\bnot told from\b|\btells? (no|an|the) order\b",
    "effect": r"\bwhat (it|each|an?|the|that)\b[^.|]{0,40} is worth\b|\bworth on\b",
    "ground-truth boxes": r"\btrue[ _-]boxes\b|\b(boxes|dilate)-true\b",
    "GPU": r"\b(graphics )?cards?\b|\bleas(e|es|ed|ing)\b|NoSuchCard|oac[./]cards",
    "synthetic images": r"\bsynthetic scenes?\b|\bdata[./]scenes\b",
    "batch-averaged mAP": r"\bmeans? over batches\b|\b(metric|measure) of the released code\b",
    "bn_splits": r"\bbn.?groups\b|\bbatch norm(ali[sz]ation)? groups\b|GroupedBatchNorm|\bgroups: [0-9]",
    "grayscale": r"[\"']grey[\"']|\w\.grey\b|\bgrey=|\bgrey: [0-9]",
    "solarize": r"\bsolaris(e[ds]?|ation|ing)\b",
    "squeeze": r"\bprobe\.full\b|--full [{TF]|^\s*full: (true|false)|\"full\"",
    "random_init": r"\brandom[/,]none\b|\"method\": \"random\"|\bmethods\.random\b|(?-i:\bUNTRAINED\b)",
    "counter-based random numbers": r"\baddressed\b",
    "subset summary": r"\bdata[./]account\b|\bsubset account\b",
    "notes": r"\bremarks?\b",
    "colour space": r"\bpretrain[./]lab\b",
    "comparison of proposals": r"\bproposals[./]evidence\b|\bevidence[_.]\w|_evidence\b|\bscore_proposals\.py\b",
    "all_gather, all_reduce": r"\bgathered(_with_gradient)?\(|\bsummed\(|\bwait_for_all\b",
    "memory bank": r"\bmemories\b|\btells? the photos of a batch\b",
    "optional_metrics, deep_merge, nll": r"(?<![a-z])_asked_for\b|\b_over\(|\bsurprise\b",
    "crop_params, moco_variants": r"\bTWO_KINDS\b|\bstudies\.contrasted\b|\brecipes?\.cuts\b",
    "report.variants": r"\breport\.lines\b",
    "benchmarks": r"\bworkflow/scripts/bench|\b(data|pretrain)[./]bench\b",
    "versions": r"(?-i:\b(RECIPE|BING)_VERSION\b)|\bPOLICY_KEYS\b",
}
# Random numbers are drawn by these words, so that they stay.
PURPOSES = re.compile(r"\buniform\(|\bpermutation\(|\bpurpose\b")


def files():
    """The files that git knows or would add, by name."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *SEARCHED]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout of git")
    return [name for name in sorted(set(listed.stdout.splitlines()) - EXEMPT) if (ROOT / name).is_file()]


@pytest.mark.parametrize("meant", OLD_WORDS)
def test_no_old_word_is_left(meant):
    old = re.compile(OLD_WORDS[meant], flags=re.IGNORECASE)
    left = []
    for name in files():
        if Path(name).suffix in TEXT:
            lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
            left += [
                f"{name}:{number}: {line.strip()[:160]}"
                for number, line in enumerate(lines, start=1)
                if old.search(line) and not PURPOSES.search(line)
            ]
    assert not left, f"say {meant}:\n" + "\n".join(left)


@pytest.mark.parametrize("meant", OLD_WORDS)
def test_no_file_has_an_old_name(meant):
    old = re.compile(OLD_WORDS[meant], flags=re.IGNORECASE)
    assert not [name for name in files() if old.search(name)]
