"""Which adapters draw a prompt: soft top two by the nearness of its encoding to the groups' centroids.

Paper A (arXiv:2508.04745) serves several adapters beside one global model and does not say how a prompt picks them; the
rule is ours (``algorithms`` 1.6). The floor was calibrated on wishes and prompts of invented people
(``tools/calibrate_routing.py``), never on those of the studio.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Q_MIN = 0.3
MOST = 2  # adapters in a mix
TEMPERATURE = 0.1
SMALLEST = 0.2  # share in a mix; what would have less is left out


@dataclass(frozen=True)
class Route:
    """What was chosen.

    Attributes:
        shares: weight by group, largest first, adding up to one; empty if no group is near.
        nearest: the nearest group, chosen or not.
        nearness: cosine between the prompt and that group's centroid.
    """

    shares: Mapping[str, float]
    nearest: str
    nearness: float


def route(prompt: Tensor, centroids: Mapping[str, Tensor], q_min: float = Q_MIN) -> Route:
    """Chooses by ``q = e . mu``: none below ``q_min``, else ``softmax(q / 0.1)`` of the two nearest.

    Args:
        prompt: encoded and centred as wishes are, ``(width,)``, of any length.
        centroids: unit vectors ``(width,)`` by group, at least one.
        q_min: below it the prompt is near no group.
    """
    names = sorted(centroids)
    e = torch.nn.functional.normalize(prompt.double(), dim=0)
    q = torch.stack([centroids[name].double() for name in names]) @ e
    order = sorted(range(len(names)), key=lambda i: (-float(q[i]), names[i]))[:MOST]
    nearest, nearness = names[order[0]], float(q[order[0]])
    if nearness < q_min:
        return Route({}, nearest, nearness)
    g = torch.softmax(q[order] / TEMPERATURE, 0)
    kept = [(names[i], float(share)) for i, share in zip(order, g, strict=True) if share >= SMALLEST]
    total = sum(share for _, share in kept)
    return Route({name: share / total for name, share in kept}, nearest, nearness)


def centroids_of(wishes: Mapping[str, Tensor], labels: Mapping[str, str]) -> dict[str, Tensor]:
    """The direction of each group's mean wish, a unit vector ``(width,)`` float32; groups without a wish are absent.

    Args:
        wishes: unit vectors by client.
        labels: group by client.
    """
    members: dict[str, list[Tensor]] = {}
    for client in sorted(wishes):
        if client in labels:
            members.setdefault(labels[client], []).append(wishes[client].double())
    means = {name: torch.stack(group).mean(0) for name, group in sorted(members.items())}
    return {name: torch.nn.functional.normalize(mean, dim=0).float() for name, mean in means.items()}
