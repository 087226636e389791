"""Adapters to and from other programs' files."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from coterie.core.errors import OtherModel, UserError, nearest
from coterie.data.shelf import holds, whose
from coterie.engines.disk import write_bytes
from coterie.models.adapter_files import Imported, adaptable, by_component, read_file, written
from coterie.models.backbone import Backbone
from coterie.models.peft_files import peft_files, read_peft
from coterie.models.shelves import BACKBONES, LAYOUTS
from coterie.runs.folder import open_run
from coterie.runs.generate import adapter_folders, kept_at
from coterie.runs.reading import read_recipe

NAME_IT = "if it was made for another model, name that with --backbone"


def export_adapter(run: Path, name: str, layout: str, out: Path) -> list[Path]:
    """Writes an adapter of a run for another program; returns the files.

    Args:
        run: folder of the run.
        name: of the adapter, as ``coterie adapters`` lists it.
        layout: ``peft`` makes a folder of two files, and one more in it for each text encoder; the others one file.
        out: the folder, or the file.

    Raises:
        UserError: if the run has no such adapter, there is no such layout, or ``out`` is there or cannot be written.
    """
    folder = open_run(run)
    found = adapter_folders(folder)
    if name not in found:
        raise UserError(f"{run}: no adapter is called {name!r}{nearest(name, found)}")
    if layout not in LAYOUTS.names():
        raise UserError(f"--format: no layout is called {layout!r}{nearest(layout, LAYOUTS.names())}")
    adapter = read_peft(found[name])
    component = (folder.read_json("results.json") or {}).get("backbone_component", "unet")
    if component == "language_model" and layout != "peft":
        raise UserError(f"--format {layout}: is for pictures; adapters of language models are written for peft")
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
    for path in files:
        if path.exists():
            raise UserError(f"{path}: is there already; choose another name with --out")
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
    with named_in_hindsight(NAME_IT):
        return _written(path, loaded, out, allow_unmatched)


def import_into(
    path: Path, run: Path, client: str, backbone: Mapping[str, Any] | None = None, allow_unmatched: bool = False,
    replace: bool = False,
) -> Imported:  # fmt: skip
    """Reads an adapter file as what a client of a finished run keeps from now on.

    It lies beside what was trained, in ``sites/CLIENT/adapters/imported``, and is used before it. Numbers and pictures
    of the run stay those of what was trained. Its layers and ranks need not be the run's.

    Args:
        path: the file, or a folder in PEFT's layout.
        run: folder of the run.
        client: whose it becomes.
        backbone: settings of the backbone that it is for; None takes the run's.
        allow_unmatched: whether tensors of no layer are left out instead of refused.
        replace: whether it may come before what the client keeps of its own.

    Raises:
        UserError: if the run is not finished or has no such client, the client keeps something of its own already, the
            backbone is another one, or for what ``read_file`` refuses.
    """
    folder = open_run(run)
    results = folder.results()  # of a finished run: the end of another would write what was trained
    if client not in results["clients"]:
        raise UserError(f"--client {client}: {run} has no such client{nearest(client, results['clients'])}")
    kept = kept_at(folder.site(client), ("imported", "personal"))
    if kept is not None and not replace:
        raise UserError(
            f"{client} keeps an adapter of its own already: {kept}; --replace uses this one instead"
            + ("" if kept.name == "imported" else " and leaves that folder as it is")
        )
    settings = read_recipe(folder.server / "recipe.toml").backbone if backbone is None else dict(backbone)
    loaded = BACKBONES.build(settings, "--backbone").load(torch.float32, 32)
    if loaded.digest != results["backbone_digest"]:
        wanted = results["backbone_digest"]
        raise UserError(f"--backbone: its digest is {loaded.digest}; the adapters of {run} are for {wanted}")
    hint = f"people of {run} can only keep adapters of its own backbone; of another: --backbone MODEL --out FOLDER"
    with named_in_hindsight(hint):
        return _written(path, loaded, folder.site(client) / "adapters" / "imported", allow_unmatched)


@contextlib.contextmanager
def named_in_hindsight(hint: str) -> Iterator[None]:
    """Adds to the complaint about an adapter of another model what would be right."""
    try:
        yield
    except OtherModel as error:
        raise UserError(f"{error}; {hint}") from error


def _written(path: Path, backbone: Backbone, out: Path, allow_unmatched: bool) -> Imported:
    got = read_file(path, adaptable(backbone.network), backbone.digest, backbone.component, allow_unmatched)
    for file, data in peft_files(got.adapter).items():
        write_bytes(out / file, data)
    return got


def export_command(run: Path) -> str:
    """How the first LoRA of a run of somebody's folders is taken along; nothing for other runs, and without a LoRA."""
    folder = open_run(run)
    recipe = read_recipe(folder.server / "recipe.toml")
    names = [name for name, where in adapter_folders(folder).items() if folder.server not in where.parents]
    if not names or whose(recipe.data.source) != "folders":
        return ""
    written = holds(recipe.data.source) == "texts"
    layout = ["peft", "--out", f"{names[0]}-lora"] if written else ["kohya", "--out", f"{names[0]}.safetensors"]
    return shlex.join(["coterie", "export", str(run), names[0], "--format", *layout])


def backbone_named(text: str) -> dict[str, Any]:
    """Settings of a backbone from one word: a name on the shelf, where a pipeline is, or a language model's folder."""
    if text in BACKBONES.names():
        return {"name": text}
    if _is_of_transformers(Path(text)):
        return {"name": "transformers_lm", "path": text}
    if "/" in text or text.endswith(".safetensors") or Path(text).exists():
        return {"name": "pipeline", "path": text}
    raise UserError(f"--backbone: no backbone and no folder is called {text!r}{nearest(text, BACKBONES.names())}")


def _is_of_transformers(folder: Path) -> bool:
    """Whether a folder holds one model of transformers, and not a pipeline or a part of one."""
    config = folder / "config.json"
    try:
        return config.is_file() and '"model_type"' in config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
