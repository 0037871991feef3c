"""What networks compute in."""

from __future__ import annotations

import torch

# None is float32 throughout.
AUTOCAST = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn `auto` into bf16 on a GPU that multiplies it natively, else into fp32.

    On a CPU `auto` is fp32 whatever the processor has, so that a study's numbers do not depend on its model; a study
    that asks for bf16 is faster where there are units for it and slower where there are none.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "fp32"
