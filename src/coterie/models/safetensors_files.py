"""Tensors out of a safetensors file that a stranger may have written: nothing is believed before it is checked.

Memory is for what was received: the header is bounded before it is read, and the file is read as it is.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from coterie.core.errors import UserError

LARGEST_HEADER = 2**20
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # zip archives and bare pickles
CONVERT = "safetensors.torch.save_file(torch.load(FILE, weights_only=True), OUT)"


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the fields of the header.

    Raises:
        UserError: in one line, if there is no such file or it is not all that its header says.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(8)
            if len(start) < 8:
                raise UserError(f"{path}: not a safetensors file: it has only {len(start)} bytes")
            (length,) = struct.unpack("<Q", start)
            if length > min(LARGEST_HEADER, size - 8):
                if start.startswith(PICKLES):
                    raise UserError(
                        f"{path}: this is a file of torch.save, whatever its name; such a file can run code when it is "
                        f"opened, so it is not; convert it where it came from, with {CONVERT}"
                    )
                raise UserError(
                    f"{path}: not a safetensors file that can be read: its header would have {length:,} bytes, the "
                    f"file has {size:,} and at most {LARGEST_HEADER:,} are taken"
                )
            header = json.loads(file.read(length), object_pairs_hook=_distinct)
        meta = header.get("__metadata__") or {}
        return load(path.read_bytes()), {str(k): str(v) for k, v in meta.items()}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        # RuntimeError: brackets nested too deeply. KeyError: a kind of numbers that torch does not have.
        raise UserError(f"{path}: not a safetensors file that can be read: {one_line(str(error))}") from error


def one_line(text: str) -> str:
    """Text from a file, fit for a message: without line ends and control characters, and not long."""
    clean = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return clean if len(clean) <= 160 else clean[:160] + "..."


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name comes twice in its header")
    return table
