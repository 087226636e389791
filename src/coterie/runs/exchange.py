"""Adapters to and from other programs' files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from coterie.core.errors import UserError, nearest
from coterie.engines.disk import write_bytes
from coterie.models.adapter_files import Imported, adaptable, by_component, read_file, written
from coterie.models.peft_files import peft_files, read_peft
from coterie.models.shelves import BACKBONES, LAYOUTS
from coterie.runs.folder import open_run
from coterie.runs.generate import adapter_folders


def export_adapter(run: Path, name: str, layout: str, out: Path) -> list[Path]:
    """Writes an adapter of a run for another program; returns the files.

    Args:
        run: folder of the run.
        name: of the adapter, as ``coterie adapters`` lists it.
        layout: ``peft`` makes a folder of two files, and one more in it for each text encoder; the others one file.
        out: the folder, or the file.

    Raises:
        UserError: if the run has no such adapter, there is no such layout, or ``out`` cannot be written.
    """
    folder = open_run(run)
    found = adapter_folders(folder)
    if name not in found:
        raise UserError(f"{run}: no adapter is called {name!r}{nearest(name, found)}")
    if layout not in LAYOUTS.names():
        raise UserError(f"--format: no layout is called {layout!r}{nearest(layout, LAYOUTS.names())}")
    adapter = read_peft(found[name])
    component = (folder.read_json("results.json") or {}).get("backbone_component", "unet")
    if layout == "peft":
        files = {
            out / ("" if owner == component else owner) / file: data
            for owner, some in by_component(adapter, component).items()
            for file, data in peft_files(some).items()
        }
    else:
        if out.is_dir():
            raise UserError(f"{out}: is a folder; the layout {layout} is one file, like {out / name}.safetensors")
        files = {out: written(adapter, layout, component)}
    for path, data in files.items():
        write_bytes(path, data)
    return list(files)


def import_adapter(path: Path, backbone: Mapping[str, Any], out: Path, allow_unmatched: bool = False) -> Imported:
    """Reads an adapter file for a backbone and writes it as a folder in PEFT's layout, with the backbone's digest.

    Args:
        path: the file, or a folder in PEFT's layout.
        backbone: settings of the backbone that it is for.
        out: the new folder; a recipe's ``start`` takes it.
        allow_unmatched: whether tensors of no layer are left out instead of refused.

    Raises:
        UserError: see ``read_file``.
    """
    loaded = BACKBONES.build(dict(backbone), "--backbone").load(torch.float32, 32)
    got = read_file(path, adaptable(loaded.network), loaded.digest, loaded.component, allow_unmatched)
    for file, data in peft_files(got.adapter).items():
        write_bytes(out / file, data)
    return got


def backbone_named(text: str) -> dict[str, Any]:
    """Settings of a backbone from one word: a name on the shelf, or where a pipeline of diffusers is."""
    if text in BACKBONES.names():
        return {"name": text}
    if "/" in text or text.endswith(".safetensors") or Path(text).exists():
        return {"name": "pipeline", "path": text}
    raise UserError(f"--backbone: no backbone and no folder is called {text!r}{nearest(text, BACKBONES.names())}")
