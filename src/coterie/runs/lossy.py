"""Which codecs go together, and which losses a rule of averaging bears; each complaint names the key and what would."""

from __future__ import annotations

from typing import Any

from coterie.core.errors import UserError
from coterie.core.rules import Aggregator
from coterie.core.shelf import shelf_name


def require_bearable_codecs(recipe: Any, where: str) -> None:
    """Codecs in an order that means something, and no loss that the form and its rule cannot bear.

    Raises:
        UserError: with the key, what is wrong and what would be right.
    """
    if recipe.codec.up_only:
        name = shelf_name(recipe.codec)
        raise UserError(f"{where}: codec: {name} is for what clients send back in training; use uplink = ['{name}']")
    names = [shelf_name(codec) for codec in recipe.uplink]
    if names and getattr(recipe.form, "hands_over", False):
        raise UserError(
            f"{where}: uplink: the form {shelf_name(recipe.form)} hands on what a client made to another, who cannot "
            "know what it was a change of; leave uplink out, and use codec = 'int4', 'int8' or 'cast' for every hop"
        )
    if {"delta", "top_k"} & set(names) and getattr(recipe.form, "splits_layers", False):
        raise UserError(
            f"{where}: uplink: in the form {shelf_name(recipe.form)} an adapter goes back many messages after it came: "
            "there is nothing to take a change against; leave delta and top_k out"
        )
    for codec, name in zip(recipe.uplink[:-1], names, strict=False):
        if codec.last:
            raise UserError(f"{where}: uplink: after {name} numbers are as they travel; put it last")
    if len(set(names)) < len(names):
        raise UserError(f"{where}: uplink: wanted each codec once, here is {', '.join(names)}")
    if "top_k" in names and "delta" not in names[: names.index("top_k")]:
        raise UserError(f"{where}: uplink: top_k leaves most of an adapter out; put delta before it")
    if "low_rank" in names[1:]:
        raise UserError(
            f"{where}: uplink: low_rank reads whole adapters, not what {names[0]} makes of them; put it first"
        )
    if "low_rank" in names and {"delta", "top_k"} & set(names):
        raise UserError(f"{where}: uplink: low_rank writes other factors than were received; leave delta and top_k out")
    _require_bearable_by_rule(recipe.form, recipe.uplink, where)


def _require_bearable_by_rule(form: Any, codecs: Any, where: str) -> None:
    rule = getattr(form, "aggregator", None)
    for codec in codecs:
        name = shelf_name(codec)
        if rule is not None and codec.up_only and type(rule).layouts is not Aggregator.layouts:
            raise UserError(
                f"{where}: uplink: form.aggregator {shelf_name(rule)} sends no adapters that {name} could be used on; "
                "use int8 or int4"
            )
        if rule is not None and codec.rewrites and rule.by_factors:
            raise UserError(
                f"{where}: uplink: {name} writes adapters with other factors, and form.aggregator {shelf_name(rule)} "
                "reads single factors; use product_svd"
            )
        if not codec.feedback:
            continue
        rest = f"or set feedback = false: {{ name = '{name}', feedback = false }}"
        if rule is not None and rule.rewrites:
            raise UserError(
                f"{where}: uplink: {name} remembers what it left out of single factors, and form.aggregator "
                f"{shelf_name(rule)} writes them anew in every round; use mean, {rest}"
            )
        if not getattr(form, "one_adapter", False):
            raise UserError(
                f"{where}: uplink: {name} remembers what it left out of one adapter, and the form {shelf_name(form)} "
                f"may send a client another one in the next round; use fedavg, {rest}"
            )
