"""The clients of one round: what is asked of all of them, of one after another, or of the server itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from coterie.core.adapter import Adapter
from coterie.core.links import Relayed, Seen
from coterie.core.replies import Half, Part
from coterie.core.site import ClientId, Facts
from coterie.core.split import Portions, Side
from coterie.core.work import Fit, Fitted
from coterie.engines.courier import Surplus, name_of, raise_halted
from coterie.engines.exchanges import Exchanges
from coterie.engines.relay import relay
from coterie.engines.replies import ReplyMap, SumMap
from coterie.engines.server_fit import train
from coterie.engines.sides import ServerSide
from coterie.engines.trampoline import Together
from coterie.federation.sampling import first_to_answer
from coterie.wire.envelope import pack, unpack
from coterie.wire.meter import BACKHAUL


@dataclass
class RoundCohort(Exchanges):
    """Clients of one round and attempt.

    ``enough`` says by stratum how many answers to the first call are waited for, where more clients were asked.
    """

    enough: Mapping[str, int] = field(default_factory=dict)
    strata: Mapping[ClientId, str] = field(default_factory=dict)

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

    async def map(self, half: Half, inputs: Mapping[ClientId, Any], part: Part | None = None) -> ReplyMap | SumMap:
        """Sends each client its input, runs the half there, and brings the replies, or sums of them by ``part``.

        A client whose half fails is absent from the replies and named in ``failures``. Adapters for a client with a
        rank of its own are cut to it on the way.

        Raises:
            QuorumLost: if fewer than the quorum answered.
            Halted: if the machine stopped the run.
        """
        call = self.next_call()
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
        going = replace(self, required=False, enough={})
        replies = await going.map(half, inputs)
        self.call = going.call
        self.lost |= replies.failures
        return replies

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

    def _spare(self, inputs: Mapping[ClientId, Any]) -> int:
        """How many were asked beyond those that are enough."""
        asked = Counter(self.strata.get(client, "") for client in inputs)
        return sum(max(0, asked[name] - count) for name, count in self.enough.items())

    async def _exchange(self, client: ClientId, half: str, call: int, value: Any) -> Any:
        value = self.cut_for(client, value)
        request = self.count("down", client, self.packed(client, half, call, value))
        reply = self.count("up", client, await self.terms.courier.visit(client, request))
        return self.unpacked(client, reply, self.written_back(value))
