"""The clients of one round: every exchange is packed, metered, carried, unpacked, also inside one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

from torch import Tensor

from coterie.core.adapter import Adapter, Layout
from coterie.core.errors import Halted, UserError
from coterie.core.links import Relayed, Seen
from coterie.core.protocols import ClientId, Facts, Half, Part
from coterie.core.seeds import seed_for
from coterie.core.work import Fit, Fitted
from coterie.engines.memory import version_of
from coterie.engines.relay import relay
from coterie.engines.replies import ReplyMap, SumMap
from coterie.engines.trampoline import SERVER, Together, Work
from coterie.federation.aggregators.product_svd import cut
from coterie.wire.codec import Codec
from coterie.wire.envelope import Header, pack, unpack
from coterie.wire.meter import BACKHAUL, Meter, Passage

WAVE = 64  # clients asked at once, or a few more where that fills the last pass


class Courier(Protocol):
    """Carries packed requests to clients and brings packed replies back.

    Attributes:
        link: what it is called in the meter.
    """

    link: str

    async def visit(self, client: ClientId, request: bytes) -> bytes:
        """One exchange with one client.

        Raises:
            ClientFailed: if there will be no reply.
        """
        ...


class ClientFailed(Exception):
    """One client's half ended without a reply; the others go on. ``kind`` says in a word why."""

    kind: ClassVar[str] = "error"


class QuorumLost(UserError):
    """Too few clients answered for the round to count."""


def raise_halted(answers: Mapping[ClientId, Any]) -> None:
    """Clients on one machine share its disk: where one found it full, the run stops and no client is to blame."""
    for answer in answers.values():
        if isinstance(answer, Halted):
            raise answer


@dataclass(frozen=True)
class Terms:
    """What holds for all exchanges of a run.

    Attributes:
        header: run, backbone, recipe and codec; round, call and client are filled in for each message.
        courier: that carries the messages.
        layouts: that adapters on the wire may have.
        codec: how rows are written.
        facts: of every client that is there.
        seed: of the run.
        quorum: smallest share of the asked clients that must answer.
        sealed: whether single replies stay closed to the form.
        tell: called with an event's name and its fields.
        wave: clients that are asked at once; the next ones are asked when all of these have answered, so that what is
            in memory does not grow with a round's clients. It changes no number.
        reaches: whether two clients' devices can hand over directly in a round.
    """

    header: Header
    courier: Courier
    layouts: tuple[Layout, ...]
    codec: Codec
    facts: Mapping[ClientId, Facts]
    seed: int
    quorum: float = 0.5
    sealed: bool = False
    tell: Callable[..., None] = lambda event, **fields: None
    wave: int = WAVE
    reaches: Callable[[int, ClientId, ClientId], bool] = lambda round, one, other: True


@dataclass
class RoundCohort:
    """Clients of one round and attempt; what it meters belongs to the attempt until the loop accepts it.

    ``required`` says whether too few answers stop the run: a few who join or leave in mid-run must not.
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
                if sums is None:
                    values[client] = answer
                else:
                    sums.add(client, answer)
        self.accept(answered, failures)
        if sums is not None:
            sums.failures = failures
            return sums
        return ReplyMap(values, failures, sealed)

    async def relay(self, half: Half, path: Sequence[ClientId], value: Any, seen: Seen | None = None) -> Relayed:
        return await relay(self, half, path, value, seen)

    async def look(self, half: Half, inputs: Mapping[ClientId, Any]) -> ReplyMap | SumMap:
        known = {**self.accepted, **self.touched}
        looking = replace(self, purpose="evaluate", required=False, accepted=known, touched={})
        replies = await looking.map(half, inputs)
        self.call = looking.call
        return replies

    def backhaul(self, direction: Literal["up", "down"], values: Mapping[str, Any]) -> ReplyMap:
        arrived = {}
        for edge, value in sorted(values.items()):
            header = replace(self.terms.header, round=self.round, attempt=self.attempt, client=edge)
            blob = self.count(direction, edge, pack(header, value, self.terms.codec), BACKHAUL)
            arrived[edge] = self.unpacked(blob)
        return ReplyMap(arrived, {}, self.terms.sealed and direction == "up")

    async def train(self, start: Adapter, fit: Fit, rows: Sequence[Mapping[str, Tensor]]) -> Fitted:
        call, self.call = self.call, self.call + 1
        seed = seed_for(self.terms.seed, self.round, "", f"fit/server/{call}")
        prepared = rows[0] if len(rows) == 1 else tuple(rows)
        if not any(len(value) for some in rows for value in some.values()):
            return Fitted(start, 0, {})
        try:
            done: Fitted = await Work("fit", SERVER, (start, fit, prepared, seed))
        except UserError:
            raise
        except Exception as error:  # a loss that is no number
            raise UserError(f"round {self.round}: the server's training ended: {error}") from error
        return done

    def accept(self, answered: Sequence[ClientId], failures: Mapping[ClientId, str]) -> None:
        """What those who answered remember is to be accepted with the round.

        Raises:
            QuorumLost: if they are too few.
        """
        asked = len(answered) + len(failures)
        if self.required and asked and len(answered) < max(1, self.terms.quorum * asked):
            first = next(iter(failures.items()))
            raise QuorumLost(
                f"round {self.round}: {len(answered)} of {asked} clients answered, fewer than the quorum of "
                f"{self.terms.quorum:.0%}; the first failure was {first[0]}: {first[1]}"
            )
        if self.purpose == "train":
            self.touched |= dict.fromkeys(answered, version_of(self.round, self.attempt))

    def missed(self, client: ClientId, half: str, error: Exception) -> str:
        """Notes that a client did not answer, and returns why."""
        kind = getattr(error, "kind", ClientFailed.kind)
        self.failed[kind] += 1
        self.terms.tell("client_failed", round=self.round, client=client, half=half, kind=kind, reason=str(error))
        return str(error)

    async def _exchange(self, client: ClientId, half: str, call: int, value: Any) -> Any:
        request = self.count("down", client, self.packed(client, half, call, value))
        return self.unpacked(self.count("up", client, await self.terms.courier.visit(client, request)))

    def packed(self, client: ClientId, half: str, call: int, value: Any) -> bytes:
        """The request of one exchange."""
        header = replace(
            self.terms.header, round=self.round, attempt=self.attempt, call=call, half=half, client=client,
            accepted=self.accepted.get(client, ""), purpose=self.purpose,
        )  # fmt: skip
        rank = self.terms.facts[client].rank if client in self.terms.facts else None
        return pack(header, value if rank is None else self._cut(value, rank), self.terms.codec)

    def unpacked(self, reply: bytes) -> Any:
        """What a client answered."""
        return unpack(reply, self.terms.layouts, self.terms.codec)[1]

    def _cut(self, value: Any, rank: int) -> Any:
        """A tree in which no adapter has a higher rank; the same adapter is cut once for all clients of a rank."""
        if isinstance(value, Adapter):
            key = value.digest, rank
            if key not in self.cuts:
                self.cuts[key] = cut(value, rank)
            return self.cuts[key]
        if isinstance(value, Mapping):
            return {name: self._cut(item, rank) for name, item in value.items()}
        return [self._cut(item, rank) for item in value] if isinstance(value, (list, tuple)) else value

    def count(self, direction: str, client: ClientId, blob: bytes, link: str = "") -> bytes:
        """Counts a blob that crosses, on the courier's link unless it is another, and hands it on."""
        link = link or self.terms.courier.link
        return self.meter.count(Passage(self.round, client, direction, link, self.purpose), blob)


def name_of(half: Half) -> str:
    """``Class.method``, by which a site finds a half."""
    return f"{type(getattr(half, '__self__', None)).__name__}.{half.__name__}"
