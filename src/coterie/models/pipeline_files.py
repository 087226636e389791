"""Opens diffusers pipelines: from a folder, a hub id, or a checkpoint of one file. Every complaint is one line."""

from __future__ import annotations

import contextlib
import logging
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from coterie.core.errors import UserError
from coterie.core.hub import hub_is_away, is_id, is_kept
from coterie.models.shelves import FAMILIES, Family

PICKLED = (".ckpt", ".pt", ".bin", ".pth")
INDEX = "model_index.json"
ADAPTER_MARKS = ("lora_", ".lora.", "hada_", "lokr_")  # one of them is in nearly every key of an adapter file
ADAPTER_FILES = ("adapter_config.json", "pytorch_lora_weights.safetensors")  # of folders by PEFT and by diffusers


@dataclass(frozen=True)
class Source:
    """Where a pipeline is; see ``coterie.models.backbones.pipeline`` for what each means."""

    path: str
    config: str = ""
    revision: str = ""
    variant: str = ""

    def open(self, dtype: torch.dtype, without: str = "") -> tuple[Any, Family]:
        """The pipeline, its autoencoder in float32 and the rest in ``dtype``, and the family that knows it.

        Args:
            dtype: of denoiser and encoders.
            without: a component that is left out.

        Raises:
            UserError: in one line, for anything that is not as it must be.
        """
        if self.path.endswith(PICKLED):
            raise UserError(
                f"backbone.path: {self.path}: such a file can run code when it is opened, so it is not; convert it to "
                ".safetensors where it came from"
            )
        absent = {without: None} if without else {}
        try:
            # first of all: to import the libraries takes seconds
            kept_only = not self._is_file and self._require_something()
            with quiet():
                if self._is_file:
                    return self._single(dtype, absent)
                return self._folder(dtype, absent, kept_only)
        except UserError:
            raise
        except Exception as error:  # a hub, a file system, two libraries, foreign settings: anything can be raised
            said = " ".join(str(error).split())[:300] or type(error).__name__
            hint = "; if its settings are missing, name a folder with them in backbone.config" if self._is_file else ""
            raise UserError(f"backbone.path: {self.path}: cannot be opened: {said}{hint}") from error

    @property
    def _is_file(self) -> bool:
        return self.path.endswith(".safetensors")

    def _require_something(self) -> bool:
        """Whether the hub's cache on this machine is all that there is, where the path is an id.

        Raises:
            UserError: if the path leads nowhere.
        """
        folder = Path(self.path)
        if folder.is_dir():
            if (folder / INDEX).is_file():
                return False
            if any((folder / name).is_file() for name in ADAPTER_FILES):
                raise UserError(no_model(self.path, "folder"))
            raise UserError(f"backbone.path: {self.path}: no {INDEX} is here; wanted a pipeline of diffusers")
        if folder.exists() or not is_id(self.path):
            what = "is no folder" if folder.exists() else "no such folder"
            raise UserError(
                f"backbone.path: {self.path}: {what}; wanted a folder, a .safetensors file or an id of the hub"
            )
        if not hub_is_away():
            return False
        if not is_kept(self.path, INDEX, self.revision):
            raise UserError(
                f"backbone.path: {self.path}: no such folder; as an id of the hub it is not in this machine's cache, "
                "and the hub cannot be reached"
            )
        return True

    def _folder(self, dtype: torch.dtype, absent: dict[str, None], kept_only: bool) -> tuple[Any, Family]:
        from diffusers import DiffusionPipeline

        more: dict[str, Any] = {key: value for key in ("revision", "variant") if (value := getattr(self, key))}
        more |= {"local_files_only": True} if kept_only else {}
        index = DiffusionPipeline.load_config(self.path, **more)
        family = family_of(str(index.get("_class_name")), self.path)
        types = {"vae": torch.float32, "default": dtype}
        extras = {name: None for name in ("safety_checker", "feature_extractor", "image_encoder") if name in index}
        pipe = DiffusionPipeline.from_pretrained(
            self.path, torch_dtype=types, use_safetensors=True, **absent, **extras, **more
        )
        return pipe, family

    def _single(self, dtype: torch.dtype, absent: dict[str, None]) -> tuple[Any, Family]:
        import diffusers

        if not Path(self.path).is_file():
            raise UserError(f"backbone.path: {self.path}: no such file")
        if is_adapter_file(self.path):
            raise UserError(no_model(self.path, "file"))
        beside = Path(self.path).with_suffix("")
        config = self.config or (str(beside) if beside.is_dir() else "")
        if config:
            index = diffusers.DiffusionPipeline.load_config(config, local_files_only=True)
            kind = str(index.get("_class_name"))
        else:
            kind, config = known_checkpoint(self.path)
        family = family_of(kind, self.path)
        settings: dict[str, Any] = {"config": config, "local_files_only": True}
        vae = diffusers.AutoencoderKL.from_single_file(
            self.path, subfolder="vae", torch_dtype=torch.float32, **settings
        )
        extras = {"safety_checker": None} if kind == "StableDiffusionPipeline" else {}
        pipe = getattr(diffusers, kind).from_single_file(
            self.path, torch_dtype=dtype, vae=vae, **absent, **extras, **settings
        )
        return pipe, family


def family_of(pipeline: str, path: str) -> Family:
    """The family that knows a class of pipelines.

    Raises:
        UserError: naming the class and what there is instead.
    """
    known: dict[str, str] = {}
    for name in FAMILIES.names():
        family: Family = FAMILIES.build(name)
        if pipeline in family.pipelines:
            return family
        known |= dict.fromkeys(family.pipelines, name)
    raise UserError(
        f"backbone.path: {path}: it is a {pipeline}, which no family here knows; there are: {', '.join(known)}"
    )


def is_adapter_file(path: str) -> bool:
    """Whether a safetensors file holds an adapter, told by the names of its tensors."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if not name.endswith(".alpha")]  # noqa: SIM118 - it has no iterator
    marked = [name for name in names if any(mark in name for mark in ADAPTER_MARKS)]
    return len(marked) > len(names) / 2


def no_model(path: str, what: str) -> str:
    """The complaint about an adapter where a model is wanted."""
    return (
        f"backbone.path: {path}: is a LoRA {what}, not a model; name the model that it was trained on, and take the "
        f"{what} in with: coterie import {shlex.quote(path)} --backbone MODEL --out FOLDER"
    )


def known_checkpoint(path: str) -> tuple[str, str]:
    """Pipeline class and hub id of the settings of a checkpoint of one file, told by the tensors in it.

    diffusers looks for the settings in the hub's cache on this machine before it asks the hub.
    """
    from diffusers.loaders import single_file_utils
    from safetensors import safe_open

    with safe_open(path, "pt") as file:  # no mapping, though it has keys: it cannot be iterated itself
        shapes = {name: SimpleNamespace(shape=file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    kind = single_file_utils.infer_diffusers_model_type(shapes)
    where = single_file_utils.fetch_diffusers_config(shapes)["pretrained_model_name_or_path"]
    for name in FAMILIES.names():
        family: Family = FAMILIES.build(name)
        if kind in family.checkpoints:
            return family.pipelines[0], where
    raise UserError(
        f"backbone.path: {path}: it looks like a checkpoint of kind {kind!r}, which no family here knows; if that is "
        "wrong, name a folder with its settings in backbone.config"
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what two libraries tell about loading to themselves: bars, advice, and what is deprecated."""
    import diffusers
    import transformers

    levels = diffusers.utils.logging.get_verbosity(), transformers.utils.logging.get_verbosity()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.set_verbosity(logging.ERROR)
    transformers.utils.logging.set_verbosity(logging.ERROR)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers.utils.logging.set_verbosity(levels[0])
        transformers.utils.logging.set_verbosity(levels[1])
        diffusers.utils.logging.enable_progress_bar()
        if bars:
            transformers.utils.logging.enable_progress_bar()
