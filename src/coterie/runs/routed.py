"""Which adapters of a finished run draw a prompt that names none: those whose people wished for something like it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coterie.core.errors import UserError
from coterie.federation.routing import Q_MIN, Route, centroids_of, route
from coterie.federation.wish_mode import wish_mode_of
from coterie.models.encoders.public import public_texts, wish_vectors
from coterie.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from coterie.models.backbone import Backbone
    from coterie.runs.recipe import Recipe

FILE = "centroids.json"
ROOT = "root"  # the adapter of everybody, where a run publishes one


@dataclass(frozen=True)
class Chosen:
    """What draws a prompt.

    Attributes:
        mix: names of the server's adapters, each with its weight; empty is the bare model.
        said: the choice in one line.
    """

    mix: tuple[tuple[str, float], ...]
    said: str


def publish_centroids(folder: RunFolder, wishes: Mapping[str, Tensor], labels: Mapping[str, str]) -> None:
    """Writes the mean wish of every group beside the server's adapters; vectors, no words. None without wishes."""
    found = centroids_of(wishes, labels)
    if found:
        folder.write_json(FILE, {name: centroid.tolist() for name, centroid in found.items()})


def read_centroids(folder: RunFolder) -> dict[str, Tensor]:
    """What a run published, a unit vector by group; empty if it compared no wishes.

    Raises:
        UserError: if the file is not what was written.
    """
    import torch

    found = folder.read_json(FILE)
    if found is None:
        return {}
    try:
        vectors = {str(name): torch.tensor(numbers, dtype=torch.float32) for name, numbers in found.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{folder.server / FILE}: wanted a list of numbers for every group: {error}") from error
    if len({vector.shape for vector in vectors.values()}) > 1 or any(
        v.dim() != 1 or not len(v) for v in vectors.values()
    ):
        raise UserError(f"{folder.server / FILE}: wanted lists of numbers, all of one length")
    return vectors


def comparable(texts: list[str], recipe: Recipe, backbone: Backbone) -> Tensor:
    """Prompts in the space of a run's centroids, ``(n, width)``: encoded, centred and projected as its wishes were."""
    vectors = wish_vectors(backbone.pooled(texts), backbone.pooled(public_texts()))
    return wish_mode_of(recipe.form).projected(vectors, recipe.seed)


def choose(prompt: str, folder: RunFolder, recipe: Recipe, backbone: Backbone) -> Chosen:
    """The adapters that a prompt picks; the root adapter, or none, if no group is near or no wishes were compared."""
    centroids = read_centroids(folder)
    base = ((ROOT, 1.0),) if (folder.server / "adapters" / ROOT).is_dir() else ()
    instead = "the root adapter" if base else "bare model"
    if not centroids:
        return Chosen(base, f"no wishes were compared in this run, so the prompt cannot choose: {instead}")
    (vector,) = comparable([prompt], recipe, backbone)
    width = len(next(iter(centroids.values())))
    if len(vector) != width:
        raise UserError(f"{folder.server / FILE}: centroids of {width} numbers, but a prompt has {len(vector)} here")
    found = route(vector, centroids)
    if not found.shares:
        return Chosen(base, f"no cluster is near ({found.nearest} at {found.nearness:.2f}, below {Q_MIN:g}): {instead}")
    return Chosen(tuple(found.shares.items()), f"chosen by the prompt: {words_of(found)}")


def words_of(found: Route) -> str:
    """Like ``cluster-2 0.71, cluster-0 0.29``."""
    return ", ".join(f"{name} {share:.2f}" for name, share in found.shares.items())
