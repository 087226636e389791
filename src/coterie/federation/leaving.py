"""What leaves a device in forms that send something else than an adapter in every round, in words for reports.

A form that is not here has a method ``leaves``, see ``coterie.core.form.Form``, or sends what all send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from coterie.core.leaves import Kept, Leaves, adapter_reveals
from coterie.core.shelf import shelf_name

Says = Callable[[Any, str], Mapping[str, Leaves]]
_SAID: dict[str, Says] = {}


def leaves_of(form: Any, example: str) -> Mapping[str, Leaves]:
    """By a purpose of the meter or ``across``, what leaves a device and is no adapter of a round or encoded wish.

    Args:
        form: of a run.
        example: what a client has, one of them: ``picture`` or ``passage``.
    """
    if hasattr(form, "leaves"):
        own: Mapping[str, Leaves] = form.leaves(example)
        return own
    return _SAID[shelf_name(form)](form, example) if shelf_name(form) in _SAID else {}


def of(name: str) -> Callable[[Says], Says]:
    """Puts down what the form of that name says."""

    def put(says: Says) -> Says:
        _SAID[name] = says
        return says

    return put


@of("local")
def _local(form: Any, example: str) -> Mapping[str, Leaves]:
    reveals = f"How well the person's own adapter fits their {example}s; no adapter is sent in this form."
    return {"train": Leaves("training figures", "every round", reveals)}


@of("ifca")
def _ifca(form: Any, example: str) -> Mapping[str, Leaves]:
    reveals = f"{adapter_reveals(example)} Also which of the shared adapters suits these {example}s best."
    return {"train": Leaves("the trained adapter, and which one it was", "every round", reveals)}


@of("scaffold")
def _scaffold(form: Any, example: str) -> Mapping[str, Leaves]:
    what = "the trained adapter, and how its own mean gradient has changed"
    return {"train": Leaves(what, "every round", f"{adapter_reveals(example)} The gradient gives away the same.")}


@of("sequential")
def _sequential(form: Any, example: str) -> Mapping[str, Leaves]:
    what, reveals = "the trained adapter, with losses of all who had it", adapter_reveals(example)
    return {
        "across": Leaves(f"{what}, to another's device", "when visited", f"To that other person: {reveals}"),
        "train": Leaves(f"{what}, to the server", "when last, or when the next device is out of reach", reveals),
    }


@of("hierarchical")
def _hierarchical(form: Any, example: str) -> Mapping[str, Leaves]:
    when = "every round" if form.edge_rounds == 1 else f"{form.edge_rounds} times a round"
    return {"train": Leaves("the trained adapter, to its edge", when, adapter_reveals(example))}


@of("split_steps")
def _split_steps(form: Any, example: str) -> Mapping[str, Leaves]:
    instead: dict[Kept, str] = {"examples": "one noised version of each, at enrolment, for the server to train on"}
    reveals = (
        f"As much of every training {example} as its noise leaves, which is in the journal as buried/snr; that is "
        "no guarantee of anything."
    )
    if form.captions:
        instead["captions"] = "encoded, with the noised version of each; such numbers can be turned back into words"
        reveals += " What the captions say, which come encoded with them."
    what = f"a noised version of each training {example}" + (" and its encoded caption" if form.captions else "")
    return {"enrol": Leaves(what, "once, before training", reveals, instead)}


@of("split")
def _split(form: Any, example: str) -> Mapping[str, Leaves]:
    layers = f"in every step, what the first layers make of some {example}s, which can be turned back in large part"
    if form.shape == "v":
        layers += "; and every word of them but the first, which the server is told so that it can find the loss"
    captions = "encoded, in every step, for layers of the server that read them; this can be turned back into words"
    reveals = (
        f"What the first layers make of a training {example}, in every step. Their weights are known but for a "
        "small adapter, so that somebody who tries can turn much of it back. "
        + ("The words themselves, which are sent along. " if form.shape == "v" else "")
        + ("Encoded captions among it say what these say. " if example == "picture" else "")
        + "The trained part of the adapter goes along at the end of a round."
    )
    told = ", and the words to be foretold" if form.shape == "v" else ""
    what, when = f"activations and gradients{told}", "several times in every step"
    return {"train": Leaves(what, when, reveals, {"examples": layers, "captions": captions})}
