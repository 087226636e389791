"""What crossed between devices and the server: kinds, times and bytes, and what each kind can give away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coterie.core.leaves import Leaves, adapter_reveals
from coterie.federation.leaving import leaves_of
from coterie.report.read import Arm
from coterie.wire.handed import HandedOver, handed_over
from coterie.wire.meter import BACKHAUL, Passage

BYTES_A_NUMBER = {"raw": 4, "cast": 2}

WISH = "What the wish says: numbers like these can be turned back into words by somebody who tries."
UNKNOWN = "Nobody can say here: the form, or a setting of it, is not known to this installation."
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


def leaving(arm: Arm) -> dict[str, Leaves]:
    """What each kind of message from a device holds, in the order in which it happens, as the form says it."""
    reveals = adapter_reveals(arm.noun)
    scores = (
        f"How well an adapter fits this person's held-out {arm.noun}s, and how many of the {arm.made} ones look like "
        "copies."
    )
    usual = {
        "enrol": Leaves("the encoded wish", "once, before training", WISH),
        "across": Leaves("the trained adapter, to another's device", "every round", f"To that other person: {reveals}"),
        "train": Leaves("the trained adapter", "every round", reveals),
        "evaluate": Leaves(
            f"scores on held-out {arm.noun}s, counts of copies", "before training, after rounds, at the end", scores
        ),
        "keep": Leaves("a receipt for what was kept", "once, at the end", RECEIPT),
    }
    return {**usual, **_of_form(arm)}


def _of_form(arm: Arm) -> Mapping[str, Leaves]:
    """What the form says is other than usual."""
    form = arm.form_settings
    if form is None:
        return dict.fromkeys(("enrol", "across", "train"), Leaves("what this form hands over", "in training", UNKNOWN))
    return leaves_of(form, arm.noun)


def sent_by_people(arm: Arm) -> list[Crossing]:
    """What left devices, in the order in which it happens; bytes as counted on the wire, envelopes included."""
    found = []
    for kind, told in leaving(arm).items():
        purpose, way = ("train", "across") if kind == "across" else (kind, "up")
        passages = [p for p in arm.meter.num_bytes if (p.purpose, p.direction) == (purpose, way) and _a_persons(p)]
        if passages:
            n = len({p.client for p in passages})
            messages = sum(arm.meter.num_messages[p] for p in passages)
            total = sum(arm.meter.num_bytes[p] for p in passages)
            each = messages / n, total / messages, total / n
            found.append(Crossing(told.what, told.when, *each, told.reveals))
    return found


def never_sent(arm: Arm) -> list[str]:
    """What stayed on devices in every shape; nothing where the form is not known."""
    if arm.form_settings is None:
        return []
    others = {kind for told in _of_form(arm).values() for kind in told.instead_of}
    stayed = [f"held-out {arm.noun}s" if "examples" in others else f"training {arm.noun}s and held-out {arm.noun}s"]
    if not arm.written:
        stayed.append("captions of held-out pictures" if "captions" in others else "their captions")
    stayed.append("the words of wishes")
    if arm.personal:
        stayed.append(f"personal adapters, and {arm.noun}s {arm.made} with them")
    return stayed


def sent_instead(arm: Arm) -> list[tuple[str, str]]:
    """What did not leave devices as it is, and what was handed over in its place."""
    names = {"examples": f"training {arm.noun}s", **({} if arm.written else {"captions": "their captions"})}
    told = {kind: how for told in _of_form(arm).values() for kind, how in told.instead_of.items()}
    return [(name, told[kind]) for kind, name in names.items() if kind in told]


def _a_persons(passage: Passage) -> bool:
    """Whether a device sent it, in an attempt that counted."""
    return passage.link != BACKHAUL and not passage.wasted


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
    """What one person hands over in a round, and one such message against the whole model, at the same bytes a number.

    ``full_bytes`` is computed and leaves out any envelope; None if the run does not say how large the model is, or if
    what was handed over is no adapter.
    """

    handed: HandedOver
    full_bytes: float | None
    parameters: int | None
    each: int | None

    @property
    def message_bytes(self) -> float:
        return self.handed.num_bytes / self.handed.messages

    @property
    def share(self) -> float | None:
        return self.message_bytes / self.full_bytes if self.full_bytes else None


def weight_of(arm: Arm) -> Weight | None:
    """Of a mean person and round; None if nobody handed over anything for training."""
    handed = handed_over(arm.meter)
    if handed is None:
        return None
    parameters = arm.results.get("backbone_parameters")
    each = BYTES_A_NUMBER.get(str(arm.table("codec").get("name", "")))
    full = float(parameters * each) if parameters and each and arm.sends_adapters else None
    return Weight(handed, full, int(parameters) if parameters else None, each)


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
