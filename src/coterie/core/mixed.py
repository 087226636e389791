"""Mixed precision where the processor has it: elsewhere bfloat16 is worked out in software, many times slower."""

from __future__ import annotations

import torch


def computes_in_bf16(device: str) -> bool:
    """Whether a device multiplies in bfloat16 itself."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def mixed(device: str) -> torch.autocast:
    """A context in which a network computes in bfloat16 over weights in float32; in float32 where that is faster."""
    return torch.autocast(device, torch.bfloat16, enabled=computes_in_bf16(device))
