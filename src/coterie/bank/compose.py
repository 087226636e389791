"""How several adapters draw one picture.

``merge``: one denoiser with the weighted sum of the updates, ``W0 + sum_c g_c D_c``. ``composite``: a denoiser for each
adapter, their answers averaged with the weights; ``switch``: adapters take turns (Zhong et al., arXiv:2402.16843).
``schedule``: the first adapter on the noisiest steps, the last on the cleanest, each for its share of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from coterie.core.adapter import Adapter

Way = Literal["merge", "composite", "switch", "schedule"]
WAYS: tuple[Way, ...] = get_args(Way)
TURN = 5  # steps of one adapter before the next takes its turn

Mix = Sequence[tuple[Adapter, float]]


def denoisers(mix: Mix, way: Way) -> list[tuple[Mix, float]]:
    """The mixes that denoise one picture side by side, and the share of each in every step; shares add up to one.

    Only ``composite`` has several. A step of a sampler is a weighted sum of the noisy picture and the denoiser's
    answer, so averaging where steps lead is averaging the answers.
    """
    if way != "composite" or len(mix) < 2:
        return [(mix, 1.0)]
    total = sum(weight for _, weight in mix)
    return [(((adapter, 1.0),), weight / total) for adapter, weight in mix]


def active(mix: Mix, way: Way, step: int, steps: int) -> Mix:
    """What of a mix is active in a step; one adapter at a time counts fully.

    >>> one, other = object(), object()
    >>> [active(((one, 0.25), (other, 0.75)), "schedule", step, 4)[0][0] is one for step in range(4)]
    [True, False, False, False]
    """
    if way not in ("switch", "schedule") or len(mix) < 2:
        return mix
    if way == "switch":
        return ((mix[step // TURN % len(mix)][0], 1.0),)
    total, done = sum(weight for _, weight in mix), 0.0
    for adapter, weight in mix:
        done += weight / total
        if (step + 0.5) / steps < done:
            return ((adapter, 1.0),)
    return ((mix[-1][0], 1.0),)
