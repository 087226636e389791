"""The clients of one round: every exchange is packed, metered, carried, unpacked, also inside one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.links import Relayed, Seen
from coterie.core.replies import Half, Part
from coterie.core.site import ClientId, Facts
from coterie.core.split import Portions, Side
from coterie.core.work import Fit, Fitted, Task
from coterie.engines.courier import ClientFailed, Surplus, name_of, raise_halted
from coterie.engines.memory import version_of
from coterie.engines.relay import relay
from coterie.engines.replies import ReplyMap, SumMap
from coterie.engines.server_fit import train
from coterie.engines.sides import ServerSide, step
from coterie.engines.terms import Terms
from coterie.engines.trampoline import Together
from coterie.federation.aggregators.product_svd import cut
from coterie.federation.sampling import first_to_answer
from coterie.wire.chain import Chain, adapters_in
from coterie.wire.codec import Codec
from coterie.wire.envelope import pack, unpack
from coterie.wire.meter import BACKHAUL, Meter, Passage, Work


class QuorumLost(UserError):
    """Too few clients answered for the round to count."""


@dataclass
class RoundCohort:
    """Clients of one round and attempt; what it meters belongs to the attempt until the loop accepts it.

    ``required`` says whether too few answers stop the run: a few who join or leave in mid-run must not. ``enough`` says
    by stratum how many answers to the first call are waited for, where more clients were asked. ``lost`` are those who
    stopped answering in mid-round, and why.
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
    enough: Mapping[str, int] = field(default_factory=dict)
    strata: Mapping[ClientId, str] = field(default_factory=dict)
    lost: dict[ClientId, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ClientId]:
        return iter(self.clients)

    def __len__(self) -> int:
        return len(self.clients)

    @property
    def facts(self) -> Mapping[ClientId, Facts]:
        return {client: self.terms.facts[client] for client in self.clients}

    @property
    def everybody(self) -> Mapping[ClientId, Facts]:
        return self.terms.facts

    @property
    def seed(self) -> int:
        return self.terms.seed

    async def map(self, half: Half, inputs: Mapping[ClientId, Any], part: Part | None = None) -> ReplyMap | SumMap:
        """Sends each client its input, runs the half there, and brings the replies, or sums of them by ``part``.

        A client whose half fails is absent from the replies and named in ``failures``. Adapters for a client with a
        rank of its own are cut to it on the way.

        Raises:
            QuorumLost: if fewer than the quorum answered.
            Halted: if the machine stopped the run.
        """
        call, self.call = self.call, self.call + 1
        name = name_of(half)
        sealed = self.terms.sealed and self.purpose == "train"
        sums = SumMap(part, sealed) if part is not None else None
        waits = bool(self.enough) and not call  # until all are there, nobody knows who is first
        values: dict[str, Any] = {}
        failures: dict[str, str] = {}
        answered, order = [], sorted(inputs)
        for begin in range(0, len(order), self.terms.wave):
            wave = order[begin : begin + self.terms.wave]
            answers = await Together({c: self._exchange(c, name, call, inputs[c]) for c in wave})
            raise_halted(answers)
            for client in wave:
                answer = answers.pop(client)
                if isinstance(answer, Exception):
                    failures[client] = self.missed(client, name, answer)
                    continue
                answered.append(client)
                if sums is None or waits:
                    values[client] = answer
                else:
                    sums.add(client, answer)
        if waits:
            first = first_to_answer(answered, self.enough, self.strata, self.terms.times, self.terms.seed, self.round)
            for client in sorted(set(answered) - set(first)):
                failures[client] = self.missed(client, name, Surplus("enough others had answered before it"))
                del values[client]
            answered = list(first)
            if sums is not None:
                for client in first:
                    sums.add(client, values[client])
        self.accept(answered, failures, len(inputs) - self._spare(inputs) if waits else len(inputs))
        if sums is not None:
            sums.failures = failures
            return sums
        return ReplyMap(values, failures, sealed)

    async def relay(self, half: Half, path: Sequence[ClientId], value: Any, seen: Seen | None = None) -> Relayed:
        return await relay(self, half, path, value, seen)

    async def look(self, half: Half, inputs: Mapping[ClientId, Any]) -> ReplyMap | SumMap:
        known = {**self.accepted, **self.touched}
        looking = replace(self, purpose="evaluate", required=False, accepted=known, touched={}, enough={})
        replies = await looking.map(half, inputs)
        self.call = looking.call
        return replies

    async def step(self, half: Half, inputs: Mapping[ClientId, Any]) -> ReplyMap | SumMap:
        return await step(self, half, inputs)

    @property
    def portions(self) -> Portions:
        assert self.terms.portions is not None  # a form that splits no layers does not ask
        return self.terms.portions

    async def side(self, portion: Adapter, fit: Fit, name: str = "") -> Side:
        return await ServerSide(self, name).begin(portion, fit)

    def backhaul(self, direction: Literal["up", "down"], values: Mapping[str, Any]) -> ReplyMap:
        arrived = {}
        for edge, value in sorted(values.items()):
            header = replace(self.terms.header, round=self.round, attempt=self.attempt, client=edge)
            packed = pack(header, value, self.terms.codec, known=self.terms.layouts)
            blob = self.count(direction, edge, packed, BACKHAUL)
            arrived[edge] = unpack(blob, self.terms.layouts, self.terms.codec)[1]
        return ReplyMap(arrived, {}, self.terms.sealed and direction == "up")

    async def train(self, start: Adapter, fit: Fit, rows: Sequence[Mapping[str, Tensor]]) -> Fitted:
        return await train(self, start, fit, rows)

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
            self.touched |= dict.fromkeys(answered, version_of(self.round, self.attempt))

    def missed(self, client: ClientId, half: str, why: Exception) -> str:
        """Notes that a client's answer is not there, and returns the reason."""
        kind = getattr(why, "kind", ClientFailed.kind)
        self.failed[kind] += 1
        self.terms.tell("client_failed", round=self.round, client=client, half=half, kind=kind, reason=str(why))
        return str(why)

    def _spare(self, inputs: Mapping[ClientId, Any]) -> int:
        """How many were asked beyond those that are enough."""
        asked = Counter(self.strata.get(client, "") for client in inputs)
        return sum(max(0, asked[name] - count) for name, count in self.enough.items())

    async def _exchange(self, client: ClientId, half: str, call: int, value: Any) -> Any:
        value = self.cut_for(client, value)
        request = self.count("down", client, self.packed(client, half, call, value))
        reply = self.count("up", client, await self.terms.courier.visit(client, request))
        return self.unpacked(client, reply, self._written_back(value))

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

    def cut_for(self, client: ClientId, value: Any) -> Any:
        """What a client is sent of a value: nothing of a higher rank than its own."""
        rank = self.terms.facts[client].rank if client in self.terms.facts else None
        return value if rank is None else self._cut(value, rank)

    def _written_back(self, value: Any) -> Codec | Chain:
        """How a client writes its answer to a value: in training by the uplink, where there is one."""
        if not self.terms.uplink or self.purpose != "train":
            return self.terms.codec
        return Chain(self.terms.uplink, [self._as_received(adapter) for adapter in adapters_in(value)])

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

    def count(self, direction: str, client: ClientId, blob: bytes, link: str = "") -> bytes:
        """Counts a blob that crosses, on the courier's link unless it is another, and hands it on."""
        link = link or self.terms.courier.link
        return self.meter.count(Passage(self.round, client, direction, link, self.purpose), blob)
