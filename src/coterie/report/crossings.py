"""What crossed between devices and the server: kinds, times and bytes, and what each kind can give away."""

from __future__ import annotations

from dataclasses import dataclass

from coterie.report.read import Arm
from coterie.wire.meter import BACKHAUL, Passage

BYTES_A_NUMBER = {"raw": 4, "cast": 2}

ADAPTER = (
    "How the pictures look that it was trained on. Trained weights can give away parts of training pictures, sometimes "
    "whole ones, to somebody who tries; how many pictures there were is sent along."
)
NUMBERS = "How well the person's own adapter fits their pictures; no adapter is sent in this form."
WISH = "What the wish says: numbers like these can be turned back into words by somebody who tries."
BURIED = (
    "As much of every training picture as its noise leaves, which is in the journal as buried/snr; and with encoded "
    "captions, what these say."
)
ACTIVATIONS = (
    "What the first layers make of a training picture or text, in every step. Their weights are known but for a small "
    "adapter, so that somebody who tries can turn much of it back; encoded captions among it say what these say. "
    "The trained part of the adapter goes along at the end of a round."
)
SCORES = "How well an adapter fits this person's held-out pictures, and how many of the drawn ones look like copies."
RECEIPT = "Only whether two people keep the very same adapter: it is a checksum."


@dataclass(frozen=True)
class Crossing:
    """One kind of message: how often, how large, for one person on average; and what it can reveal."""

    what: str
    when: str
    times: float
    bytes_each: float
    bytes_all: float
    reveals: str


def sent_by_people(arm: Arm) -> list[Crossing]:
    """What left devices, in the order in which it happens; bytes as counted on the wire, envelopes included."""
    alone = arm.form == "local"
    what, reveals = ("noised pictures", BURIED) if arm.form == "split_steps" else ("the encoded wish", WISH)
    kinds = {
        "enrol": (what, "once, before training", reveals),
        "across": ("the trained adapter, to another's device", "every round", f"To that other person: {ADAPTER}"),
        "train": ("training figures" if alone else "the trained adapter", "every round", NUMBERS if alone else ADAPTER),
        "evaluate": (
            f"scores on held-out {arm.noun}s, counts of copies", "before training, after rounds, at the end", SCORES
        ),
        "keep": ("a receipt for what was kept", "once, at the end", RECEIPT),
    }  # fmt: skip
    if arm.form == "split":
        kinds["train"] = ("activations and gradients", "several times in every step", ACTIVATIONS)
    if arm.written:
        kinds = {purpose: (what, when, _of_texts(reveals)) for purpose, (what, when, reveals) in kinds.items()}
    found = []
    for kind, (what, when, reveals) in kinds.items():
        purpose, way = ("train", "across") if kind == "across" else (kind, "up")
        passages = [p for p in arm.meter.num_bytes if (p.purpose, p.direction) == (purpose, way) and _a_persons(p)]
        if passages:
            n = len({p.client for p in passages})
            messages = sum(arm.meter.num_messages[p] for p in passages)
            total = sum(arm.meter.num_bytes[p] for p in passages)
            found.append(Crossing(what, when, messages / n, total / messages, total / n, reveals))
    return found


def _a_persons(passage: Passage) -> bool:
    """Whether a device sent it, in an attempt that counted."""
    return passage.link != BACKHAUL and not passage.wasted


def _of_texts(reveals: str) -> str:
    """The same of texts."""
    changed = reveals.replace("How the pictures look that", "How the texts sound that").replace("pictures", "passages")
    return changed.replace("the drawn ones", "the written ones")


def other_wishes(arm: Arm) -> str | None:
    """Whether the encoded wishes that check other wordings were ``counted``; None if nobody sent any.

    Without them a person sends three messages at the end for measuring: scores, drawn pictures, copies.
    """
    if not arm.results.get("other_wishes"):
        return None
    last = max((p.round for p in arm.meter.num_bytes if p.purpose == "evaluate"), default=0)
    messages = arm.meter.messages(direction="up", purpose="evaluate", round=last)
    return "counted" if messages > 3 * len(arm.clients) else "not counted"


@dataclass(frozen=True)
class Weight:
    """Bytes of one adapter on its way up against those of the whole model, at the same bytes a number.

    ``full_bytes`` is computed and leaves out any envelope; None if the run does not say how large the model is.
    """

    up_bytes: float
    full_bytes: float | None
    parameters: int | None
    each: int | None

    @property
    def share(self) -> float | None:
        return self.up_bytes / self.full_bytes if self.full_bytes else None


def weight_of(arm: Arm) -> Weight | None:
    """The mean trained message of a person and round; None if nobody sent one, or what was sent is no adapter."""
    if arm.form == "split":
        return None
    ups = [p for p in arm.meter.num_bytes if (p.purpose, p.direction) == ("train", "up") and _a_persons(p)]
    messages = sum(arm.meter.num_messages[p] for p in ups)
    if not messages:
        return None
    parameters = arm.results.get("backbone_parameters")
    each = BYTES_A_NUMBER.get(str(arm.table("codec").get("name", "")))
    full = float(parameters * each) if parameters and each else None
    up = sum(arm.meter.num_bytes[p] for p in ups) / messages
    return Weight(up, full, int(parameters) if parameters else None, each)


def traffic(arm: Arm) -> list[dict[str, object]]:
    """Bytes of all people together by purpose, up, down and from device to device; then those between servers."""
    labels = {"enrol": "enrolment", "train": "training", "evaluate": "measuring", "keep": "handing over at the end"}
    known = {p.purpose for p in arm.meter.num_bytes}
    rows: list[dict[str, object]] = []
    for purpose in [*(p for p in labels if p in known), *sorted(known - set(labels))]:
        all_ways = {way: arm.meter.total(direction=way, purpose=purpose) for way in ("up", "down", "across")}
        between = {way: arm.meter.total(direction=way, purpose=purpose, link=BACKHAUL) for way in ("up", "down")}
        mine = {way: total - between.get(way, 0) for way, total in all_ways.items()}
        rows.append({"purpose": labels.get(purpose, purpose), **mine})
        if any(between.values()):
            rows.append({"purpose": f"{labels.get(purpose, purpose)}, edges and cloud", **between, "across": 0})
    return rows


def wasted(arm: Arm) -> int:
    """Bytes of attempts that came to nothing."""
    return arm.meter.total(wasted=True)


def links(arm: Arm) -> list[str]:
    """Names of what carried the bytes."""
    return sorted({p.link for p in arm.meter.num_bytes})
