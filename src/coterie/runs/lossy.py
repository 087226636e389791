"""Which codecs go together, and which losses a rule of averaging bears; a complaint ends with a value that works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from coterie.core.errors import UserError
from coterie.core.rules import Aggregator
from coterie.core.shelf import shelf_name
from coterie.runs.plain import as_plain, in_line
from coterie.wire.codec import CODECS, Codec

ORDER = ("low_rank", "delta", "top_k")  # in which they can stand; all others come after them


def require_bearable_codecs(recipe: Any, where: str) -> None:
    """Codecs in an order that means something, and no loss that the form and its rule cannot bear.

    Raises:
        UserError: with the key, what is wrong, and a value that works with all else as it is.
    """
    form, asked = recipe.form, recipe.uplink
    if recipe.codec.up_only:
        name, asked = shelf_name(recipe.codec), (recipe.codec, *recipe.uplink)
        wrong = f"codec: {name} is for what clients send back in training; leave codec out"
        raise UserError(f"{where}: {wrong}, and take {_words(_mended(form, asked))}")
    if wrong := _wrong(form, asked):
        raise UserError(f"{where}: uplink: {wrong}; take {_words(_mended(form, asked))}")


def _wrong(form: Any, codecs: Sequence[Codec]) -> str:
    """The first thing that cannot be; empty if there is none."""
    names = [shelf_name(codec) for codec in codecs]
    if names and getattr(form, "hands_over", False):
        name = shelf_name(form)
        return f"the form {name} hands on what a client made to another, who cannot know what it was a change of"
    if {"delta", "top_k"} & set(names) and getattr(form, "splits_layers", False):
        return (
            f"in the form {shelf_name(form)} an adapter goes back many messages after it came: there is nothing to "
            "take a change against"
        )
    for codec, name in zip(codecs[:-1], names, strict=False):
        if codec.last:
            return f"after {name} numbers are as they travel, so that nothing can follow"
    if len(set(names)) < len(names):
        return f"wanted each codec once, here is {', '.join(names)}"
    if "top_k" in names and "delta" not in names[: names.index("top_k")]:
        return "top_k leaves most of an adapter out, so that it wants delta before it"
    if "low_rank" in names[1:]:
        return f"low_rank reads whole adapters, not what {names[0]} makes of them"
    if "low_rank" in names and {"delta", "top_k"} & set(names):
        return "low_rank writes other factors than were received, which delta and top_k would compare"
    return next((wrong for codec in codecs if (wrong := _unbearable(form, codec))), "")


def _unbearable(form: Any, codec: Codec) -> str:
    """What a form and its rule do not bear of one codec."""
    rule, name = getattr(form, "aggregator", None), shelf_name(codec)
    if rule is not None and codec.up_only and type(rule).layouts is not Aggregator.layouts:
        return f"form.aggregator {shelf_name(rule)} sends no adapters that {name} could be used on"
    if rule is not None and codec.rewrites and rule.by_factors:
        return (
            f"{name} writes adapters with other factors, and form.aggregator {shelf_name(rule)} reads single factors, "
            "as product_svd does not"
        )
    if codec.feedback and rule is not None and rule.rewrites:
        return (
            f"{name} remembers what it left out of single factors, and form.aggregator {shelf_name(rule)} writes them "
            "anew in every round, as mean does not"
        )
    if codec.feedback and not getattr(form, "one_adapter", False):
        return (
            f"{name} remembers what it left out of one adapter, and the form {shelf_name(form)} may send a client "
            "another one in the next round, as fedavg does not"
        )
    return ""


def _mended(form: Any, asked: Sequence[Codec]) -> tuple[Codec, ...]:
    """The chain nearest to what was asked for that can be; empty if none can."""
    return next(codecs for codecs in _nearby(asked) if not _wrong(form, codecs))


def _nearby(asked: Sequence[Codec]) -> Iterator[tuple[Codec, ...]]:
    """Chains of the same codecs, then with less and less of them: in order, without feedback, without single ones."""
    one = {shelf_name(codec): codec for codec in reversed(asked)}
    if "top_k" in one:
        one.setdefault("delta", CODECS.build("delta"))
    first, after = [one[name] for name in ORDER if name in one], [one[name] for name in one if name not in ORDER]
    chain = (*first, *after[-1:])
    for left_out in ((), ("low_rank",), ("delta", "top_k"), ("low_rank", "delta", "top_k")):
        some = tuple(codec for codec in chain if shelf_name(codec) not in left_out)
        if some or not chain:
            yield some
            yield tuple(_without_feedback(codec) for codec in some)
    yield (CODECS.build("int8"),)
    yield ()


def _without_feedback(codec: Any) -> Any:
    return replace(codec, feedback=False) if codec.feedback else codec


def _words(codecs: Sequence[Codec]) -> str:
    """As a chain is typed in a recipe, or what to take where there can be none."""
    if not codecs:
        return 'codec = "int8" without uplink'
    return f"uplink = [{', '.join(map(_typed, codecs))}]"


def _typed(codec: Any) -> str:
    """A codec with what it does not have by default."""
    plain, usual = as_plain(codec), as_plain(CODECS.build(shelf_name(codec)))
    own = {key: value for key, value in plain.items() if key == "name" or value != usual[key]}
    return in_line(own if len(own) > 1 else own["name"])
