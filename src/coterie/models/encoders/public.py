"""A fixed public list of sentences, and what it says about the space of wishes.

Sentence encoders put unrelated texts far from orthogonal, and what a picture is *for* moves a sentence as much as how
it should look. The list names twenty looks for twelve uses each. Its mean is the origin of wishes; the directions in
which sentences about one look differ from each other are taken out. The list is the same for everybody and never
changes: centring on the clients themselves would let one arrival move everybody else.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOOKS = (
    "oil portraits", "charcoal drawings", "paper collages", "travel posters", "botanical plates", "chalk drawings",
    "marble statues", "graffiti letters", "sepia photographs", "tapestries", "origami figures", "sand paintings",
    "shadow puppets", "ice sculptures", "coloured etchings", "wax crayon pictures", "icons painted on gold",
    "bamboo ink scrolls", "glazed pottery", "wire sculptures",
)  # fmt: skip
USES = (
    "I would like {} for my living room wall.",
    "Make {} that I can print on cards for my friends.",
    "My little shop needs {} for its labels.",
    "I collect {} and want more of the same kind.",
    "Draw animals as {}.",
    "Pictures of food that look like {}, please.",
    "{}, the way my grandmother loved them.",
    "For our school play we need {} of houses and trees.",
    "Something like {}, for a children's book.",
    "Everything should look like {}.",
    "I teach and want {} for my class.",
    "{} of my dog and my garden.",
)
DIRECTIONS = 16  # taken out; chosen with the floors on invented people (tools/calibrate_wishes.py)


def public_texts() -> list[str]:
    """The sentences, look by look."""
    return [use.format(look) for look in LOOKS for use in USES]


def wish_vectors(pooled: Tensor, public: Tensor) -> Tensor:
    """Wishes as unit vectors that can be compared: ``(n, width)`` float32.

    Args:
        pooled: encoded wishes ``(n, width)``.
        public: encoded ``public_texts()``, ``(texts, width)``.
    """
    by_look = public.double().view(len(LOOKS), len(USES), -1)
    within = (by_look - by_look.mean(1, keepdim=True)).flatten(0, 1)
    directions = torch.linalg.svd(within, full_matrices=False)[2][:DIRECTIONS]
    centred = pooled.double() - by_look.mean((0, 1))
    rest = centred - (centred @ directions.T) @ directions
    return torch.nn.functional.normalize(rest, dim=1).float()
