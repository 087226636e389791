"""The recipe: everything that decides a run, in one TOML file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from coterie.core.errors import UserError
from coterie.core.form import Form
from coterie.core.place import Place
from coterie.core.shelf import Problems, ShelfProblem
from coterie.data.shelf import SOURCES, Source
from coterie.engines.devices import Devices
from coterie.federation.shelves import FORMS
from coterie.models.shelves import BACKBONES, METHODS, BackboneSettings, Method
from coterie.runs.attendance import Change
from coterie.runs.plain import as_plain
from coterie.runs.sink import SINKS, Sink
from coterie.runs.sizes import memory_bytes
from coterie.wire.codec import CODECS, Codec


class Settings(BaseModel):
    """A table of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Data(Settings):
    """Whose pictures or documents, and how they are shared out.

    Attributes:
        source: where pictures or documents come from.
        partition: how clients share them: ``column``, ``contiguous``, ``dirichlet``, ``iid`` or ``pooled``.
        column: names the client (``column``) or the label that is shared out unevenly (``dirichlet``).
        num_clients: for ``contiguous``, ``dirichlet`` and ``iid``.
        alpha: of the Dirichlet distribution: small makes clients unlike each other.
        held_out: share of a client's pictures, or of its whole documents, kept for evaluation, where the source does
            not say.
        pool: one client for all (``all``) or for each true group (``style``): central training, simulation only.
        truth_column: the true group of a client, for the grouping ``oracle`` and the evaluation.
        wish: which of a person's wishes is used, where there are several; of a file or folder, its column ``wish``, or
            ``wish_named``, ``wish_paraphrased`` and ``wish_purpose``.
        prompt: what is shown to the model: the ``caption``, or the ``wish`` before every caption.
        shots: of documents: so many tokens of what a client learns from are put before each held-out window, to be
            read and not scored; what a model can do with examples alone.
        test: what adapters are measured on: the pictures ``held_out`` for that, or for choosing settings a
            ``validation`` share of the training subjects, which then nobody trains on.
        flip: adds the mirrored copy of every training picture as one more example, which counts like any other;
            held-out pictures stay as they are. Not for writing, nor for captions that say left or right.
        crop: every picture is cut to a ``square``, or to the nearest of a few sizes of about equal area (``buckets``),
            from 1:2 to 2:1; buckets are for pipelines only.
    """

    source: Annotated[Source, SOURCES] = Field(default_factory=lambda: SOURCES.build("studio"))
    partition: Literal["column", "contiguous", "dirichlet", "iid", "pooled"] = "column"
    column: str = "person"
    num_clients: int = Field(4, ge=1)
    alpha: float = Field(0.3, gt=0)
    held_out: float = Field(0.25, ge=0, lt=1)
    pool: Literal["none", "all", "style"] = "none"
    truth_column: str = "style"
    wish: Literal["named", "paraphrased", "purpose"] = "named"
    prompt: Literal["caption", "wish"] = "caption"
    shots: int = Field(0, ge=0)
    test: Literal["held_out", "validation"] = "held_out"
    flip: bool = False
    crop: Literal["square", "buckets"] = "square"


class Rounds(Settings):
    """Who takes part.

    Attributes:
        share: of the clients asked in each round; every cluster is asked.
        quorum: smallest share of the asked clients that must answer.
        over: how many more are asked than that share: at 0.3 there are 1.3 times as many, and the first that answer
            count, as many as the share is. Who is fast counts more often.
        below_quorum: with fewer answers the run ``stop``s, or the round is ``skip``ped and changes nothing.
        sealed: the server reads only sums of replies; refused by rules that need single ones.
    """

    share: float = Field(1.0, gt=0, le=1)
    quorum: float = Field(0.5, ge=0, le=1)
    over: float = Field(0.0, ge=0)
    below_quorum: Literal["stop", "skip"] = "stop"
    sealed: bool = False


def _is_size(value: str) -> str:
    try:
        memory_bytes(value)
    except UserError as error:
        raise ShelfProblem(Problems([("", str(error))])) from error
    return value


class Engine(Settings):
    """Where clients run, and with which numerics; resolved once, so that a run repeats bit by bit on its machine.

    Attributes:
        workers: processes of one thread each; 0 is this one process, -1 one for each core that the memory has room
            for, at most one for each client. With -1 a backbone that is not embedded stays in this one process.
        memory: that all processes together may use, like ``3GB``; of the graphics card, where one computes.
        device: where a pipeline or a model of transformers computes: ``cpu``, ``cuda``, or ``auto`` for a graphics card
            where there is one. The embedded backbones always compute on the processor.
        width: clients in one pass of the bank; 0 chooses by memory, at most six in each process.
        rows: of a call that scores or draws, two for a picture; a power of two, 0 chooses by memory.
        dtype: ``fp32``, ``bf16``, or ``auto`` for bf16 where the device computes in it.
        moments: the optimiser's two numbers for each number of an adapter, in ``fp32`` or in 8 bits (``8bit``, by
            bitsandbytes, an extra); ``auto`` is ``8bit`` where a pipeline's memory asks for it.
        tokens: width of an encoded caption; 0 is 32, or 64 with the wish before it. In bf16
            a softmax over a multiple of 32 is several times faster than over any other number.
    """

    workers: int = Field(-1, ge=-1, le=64)
    memory: Annotated[str, AfterValidator(_is_size)] = "3GB"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    width: int = Field(0, ge=0, le=64)
    rows: Literal[0, 1, 2, 4, 8, 16, 32, 64] = 0
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    moments: Literal["auto", "fp32", "8bit"] = "auto"
    tokens: int = Field(0, ge=0, le=64)


class Evaluation(Settings):
    """What is measured on held-out pictures or documents.

    Attributes:
        levels: noise levels of every held-out picture; reported in four groups, so a multiple of four. Texts have one.
        every: rounds between evaluations of the served adapters.
        copies: held-out captions drawn, or documents begun anew, for each person to look for copies; 0 leaves that out.
    """

    levels: int = Field(8, ge=4, multiple_of=4)
    every: int = Field(1, ge=1)
    copies: int = Field(8, ge=0)


class Pictures(Settings):
    """What is drawn for the report, or written.

    Attributes:
        prompts: fixed captions, drawn with every adapter, or beginnings of texts; empty takes the source's own.
        own_prompts: whether each client draws captions of its own pictures instead, or goes on from its own documents'
            first words (held-out ones where there are any), before and after; they stay with it. The server then draws
            only ``prompts``, if any are given.
        steps: denoising steps.
        guidance: scale of classifier-free guidance.
        hybrids: whether mixes of pairs of clusters are drawn.
        people: whether each client draws with what it keeps; else the page shows the server's drawing of what was
            served.
        every: rounds between pictures drawn during training.
    """

    prompts: tuple[str, ...] = ()
    own_prompts: bool = False
    steps: int = Field(16, ge=1)
    guidance: float = Field(3.0, ge=1)
    hybrids: bool = True
    people: bool = True
    every: int = Field(1, ge=1)


class Texts(Settings):
    """How texts are written, where the backbone makes texts.

    Attributes:
        tokens: at most so many for each prompt.
        temperature: logits are divided by it; 0 always takes the likeliest token.
        top_p: only the likeliest tokens that together have this probability are drawn from.
    """

    tokens: int = Field(48, ge=1, le=4096)
    temperature: float = Field(0.8, ge=0, le=10)
    top_p: float = Field(0.95, gt=0, le=1)


def _one_is_many(value: Any) -> Any:
    """``sinks = "tensorboard"`` is short for a list of one."""
    return (value,) if isinstance(value, (str, Mapping)) else value


def _none_is_empty(value: Any) -> Any:
    """``control = "none"`` is a word for no keys at all."""
    return {} if value == "none" else value


class Recipe(Settings):
    """A whole run.

    Attributes:
        name: of the run.
        seed: of every draw.
        rounds: of training; enrolment is round 0.
        budget: optimiser steps that a client takes in the whole run, its keeping's among them; decides
            ``form.fit.steps``, so that forms can be compared at equal training. 0 leaves that as it is. A control has
            the same, unless it sets ``control.budget`` or ``control.form.fit.steps``.
        form: the shape of collaboration.
        data: whose pictures or documents.
        backbone: the frozen model.
        method: what is trained.
        start: folder of an adapter in PEFT's layout that everybody begins from; empty is a fresh one. Like every path,
            in a recipe file it is seen from that file, with ``--set`` from where the command is typed.
        codec: how adapters are written on the wire, both ways.
        uplink: how clients write what they send back in training, as a list of codecs one after another, like
            ``["delta", "top_k", "int8"]``; empty is as ``codec``.
        cohort: who takes part.
        changes: who joins, leaves or has another wish in mid-run; in a simulation only.
        devices: what clients' machines can do.
        engine: where it runs.
        evaluation: what is measured.
        pictures: what is drawn, or written.
        texts: how texts are written.
        sinks: tools elsewhere that are told how it goes, like ``["tensorboard"]``; they decide no number.
        control: a second run with these keys changed, shown beside the first; ``{}``, or ``"none"``, is no such run.
    """

    name: str = Field("studio", pattern=r"^[A-Za-z0-9._-]+$")
    seed: int = Field(0, ge=0, lt=2**63)
    rounds: int = Field(3, ge=0)
    budget: int = Field(0, ge=0)
    form: Annotated[Form, FORMS] = Field(default_factory=lambda: FORMS.build("clustered"))
    data: Data = Data()
    backbone: Annotated[BackboneSettings, BACKBONES] = Field(default_factory=lambda: BACKBONES.build("doodle"))
    method: Annotated[Method, METHODS] = Field(default_factory=lambda: METHODS.build("lora"))
    start: Annotated[str, Place()] = ""
    codec: Annotated[Codec, CODECS] = Field(default_factory=lambda: CODECS.build("cast"))
    uplink: Annotated[tuple[Annotated[Codec, CODECS], ...], BeforeValidator(_one_is_many)] = ()
    cohort: Rounds = Rounds()
    changes: tuple[Change, ...] = ()
    devices: Devices = Devices()
    engine: Engine = Engine()
    evaluation: Evaluation = Evaluation()
    pictures: Pictures = Pictures()
    texts: Texts = Texts()
    sinks: Annotated[tuple[Annotated[Sink, SINKS], ...], BeforeValidator(_one_is_many)] = ()
    control: Annotated[dict[str, Any], BeforeValidator(_none_is_empty)] = Field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return self.engine.tokens or (64 if self.data.prompt == "wish" else 32)


def deciding(recipe: Recipe) -> dict[str, Any]:
    """All that decides numbers, as plain values: not the name, nor where the clients run, nor who is told."""
    plain: dict[str, Any] = as_plain(recipe)
    for key in ("name", "control", "sinks"):
        plain.pop(key)
    for key in ("workers", "memory"):
        plain["engine"].pop(key)
    return plain


def digest_of(recipe: Recipe) -> str:
    """Twelve hexadecimal digits of all that decides numbers."""
    return hashlib.sha256(json.dumps(deciding(recipe), sort_keys=True).encode()).hexdigest()[:12]
