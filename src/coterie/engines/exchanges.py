"""One exchange after another of a round's attempt: packed, metered, unpacked, also inside one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.site import ClientId
from coterie.core.work import Task
from coterie.engines.courier import ClientFailed
from coterie.engines.memory import version_of
from coterie.engines.terms import Terms
from coterie.federation.products import cut
from coterie.wire.chain import Chain, adapters_in
from coterie.wire.codec import Codec
from coterie.wire.envelope import pack, unpack
from coterie.wire.meter import Meter, Passage, Work


class QuorumLost(UserError):
    """Too few clients answered for the round to count."""


@dataclass
class Exchanges:
    """What one attempt at a round hands over; what it meters belongs to the attempt until the loop accepts it.

    ``required`` says whether too few answers stop the run: a few who join or leave in mid-run must not. ``lost`` are
    those who stopped answering in mid-round, and why.
    """

    clients: tuple[ClientId, ...]
    terms: Terms
    round: int
    attempt: int
    accepted: Mapping[ClientId, str]
    purpose: str = "train"
    meter: Meter = field(default_factory=Meter)
    touched: dict[ClientId, str] = field(default_factory=dict)
    call: int = 0
    required: bool = True
    failed: Counter[str] = field(default_factory=Counter)
    cuts: dict[tuple[str, int], Adapter] = field(default_factory=dict)
    received: dict[str, Adapter] = field(default_factory=dict)
    lost: dict[ClientId, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        return self.terms.seed

    @property
    def during(self) -> str:
        """What is remembered of this attempt is called so."""
        return version_of(self.round, self.attempt)

    def next_call(self) -> int:
        """The number of an exchange with clients, or of the server's own work, within the attempt."""
        call, self.call = self.call, self.call + 1
        return call

    def packed(self, client: ClientId, half: str, call: int, value: Any) -> bytes:
        """The request of one exchange."""
        header = replace(
            self.terms.header, round=self.round, attempt=self.attempt, call=call, half=half, client=client,
            accepted=self.accepted.get(client, ""), purpose=self.purpose,
        )  # fmt: skip
        return pack(header, value, self.terms.codec, known=self.terms.layouts)

    def unpacked(self, client: ClientId, reply: bytes, codec: Codec | Chain) -> Any:
        """What a client answered, written by a codec or a chain of them; its work is counted."""
        told, answer = unpack(reply, self.terms.layouts, codec)
        self.meter.worked(Work(self.round, client, "trained", self.purpose), told.trained)
        self.meter.worked(Work(self.round, client, "scored", self.purpose), told.scored)
        return answer

    def count(self, direction: str, client: ClientId, blob: bytes, link: str = "") -> bytes:
        """Counts a blob that crosses, on the courier's link unless it is another, and hands it on."""
        link = link or self.terms.courier.link
        return self.meter.count(Passage(self.round, client, direction, link, self.purpose), blob)

    def cut_for(self, client: ClientId, value: Any) -> Any:
        """What a client is sent of a value: nothing of a higher rank than its own."""
        rank = self.terms.facts[client].rank if client in self.terms.facts else None
        return value if rank is None else self._cut(value, rank)

    def written_back(self, value: Any) -> Codec | Chain:
        """How a client writes its answer to a value: in training by the uplink, where there is one."""
        if not self.terms.uplink or self.purpose != "train":
            return self.terms.codec
        return Chain(self.terms.uplink, [self._as_received(adapter) for adapter in adapters_in(value)])

    def accept(self, answered: Sequence[ClientId], failures: Mapping[ClientId, str], asked: int) -> None:
        """What those who answered remember is to be accepted with the round.

        Raises:
            QuorumLost: if they are too few of those whose answer was wanted.
        """
        asked, failures = asked + len(self.lost), {**self.lost, **failures}
        if self.required and asked and len(answered) < max(1, self.terms.quorum * asked):
            who, why = next(iter(failures.items()))
            raise QuorumLost(
                f"round {self.round}: {len(answered)} of {asked} clients answered, fewer than the quorum of "
                f"{self.terms.quorum:.0%}; the first failure was {who}: {why}"
            )
        if self.purpose == "train":
            self.touched |= dict.fromkeys(answered, self.during)

    def missed(self, client: ClientId, half: str, why: Exception) -> str:
        """Notes that a client's answer is not there, and returns the reason."""
        kind = getattr(why, "kind", ClientFailed.kind)
        self.failed[kind] += 1
        self.terms.tell("client_failed", round=self.round, client=client, half=half, kind=kind, reason=str(why))
        return str(why)

    def _as_received(self, adapter: Adapter) -> Adapter:
        """An adapter as clients have it once it was written and read."""
        if adapter.digest not in self.received:
            chain = Chain((self.terms.codec,))
            self.received[adapter.digest] = chain.read(chain.write(adapter), adapter.layout)
        return self.received[adapter.digest]

    def _cut(self, value: Any, rank: int) -> Any:
        """A tree in which no adapter has a higher rank; the same adapter is cut once for all clients of a rank."""
        if isinstance(value, Adapter):
            key = value.digest, rank
            if key not in self.cuts:
                self.cuts[key] = cut(value, rank)
            return self.cuts[key]
        if isinstance(value, Task):  # what lies beside is frozen, at whatever rank it has
            return replace(value, start=self._cut(value.start, rank))
        if isinstance(value, Mapping):
            return {name: self._cut(item, rank) for name, item in value.items()}
        return [self._cut(item, rank) for item in value] if isinstance(value, (list, tuple)) else value
