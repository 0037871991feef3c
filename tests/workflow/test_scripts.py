"""What a script imports is paid by every job: loading torch takes seconds, a table or a figure not one."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow/scripts"
# These compute with torch, read an encoder, or take crops as a run takes them.
WITH_TORCH = {
    "describe_encoder.py",
    "draw_contact_sheet.py",
    "export_detectron2.py",
    "initialise_encoder.py",
    "measure_overlap.py",
    "probe.py",
}


def imports(script: Path) -> str:
    """The imports at the top of a script."""
    body = ast.parse(script.read_text(encoding="utf-8")).body
    return "\n".join(ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom))


def test_torch_is_loaded_by_the_scripts_that_compute_with_it_alone():
    scripts = [script for script in sorted(SCRIPTS.glob("*.py")) if script.name not in WITH_TORCH]
    assert len(scripts) > 10
    code = ["import sys", *(f"{imports(each)}\nassert 'torch' not in sys.modules, '{each.name}'" for each in scripts)]
    result = subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert {script.name for script in SCRIPTS.glob("*.py")} >= WITH_TORCH
