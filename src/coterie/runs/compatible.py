"""Which parts of a recipe cannot go together; each complaint names the key and what would."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

from coterie.core.errors import UserError
from coterie.core.form import Keeping
from coterie.core.shelf import shelf_name
from coterie.data.shelf import SOURCES, holds
from coterie.federation.shelves import FORMS
from coterie.models.parts import GIVES_AWAY
from coterie.models.shelves import BACKBONES, makes
from coterie.runs.attendance import require_possible
from coterie.runs.heeded import require_heeded
from coterie.runs.lossy import require_bearable_codecs

if TYPE_CHECKING:
    from coterie.runs.recipe import Recipe


def require_compatible(recipe: Recipe, where: str) -> None:
    """All of this, of one run.

    Raises:
        UserError: with the first that is found; ``where`` begins it.
    """
    require_readable_sums(recipe, where)
    require_adapters_to_compare(recipe, where)
    require_bearable_ranks(recipe, where)
    require_different_sinks(recipe, where)
    require_one_kind(recipe.data, recipe.backbone, where)
    require_known_shapes(recipe, where)
    usual = int(getattr(recipe.method, "rank", 0))
    require_possible_form(recipe.form, recipe.devices.distinct_ranks(usual), usual, recipe.data.flip, where)
    require_what_rule_asks(recipe.form, where)
    require_targets_kept(recipe.form, makes(recipe.backbone), where)
    require_noise(recipe, where)
    require_bearable_codecs(recipe, where)
    require_heeded(recipe, where)
    require_small_own_part(recipe.form, recipe.method, where)
    require_possible_changes(recipe, where)


def require_readable_sums(recipe: Recipe, where: str) -> None:
    """What reads single replies cannot run where the server sees only their sums."""
    if not recipe.cohort.sealed:
        return
    rule = getattr(recipe.form, "aggregator", None)
    if rule is not None and not rule.linear:
        raise UserError(f"{where}: cohort.sealed: form.aggregator {shelf_name(rule)} reads single replies; use mean")
    if getattr(recipe.form, "needs_single_replies", False):
        raise UserError(f"{where}: cohort.sealed: the form {shelf_name(recipe.form)} reads what single clients answer")


def require_adapters_to_compare(recipe: Recipe, where: str) -> None:
    """A grouping that compares adapters must get to see some."""
    grouping = getattr(recipe.form, "grouping", None)
    if grouping is None or grouping.reads not in ("adapters", "both"):
        return
    name = shelf_name(grouping)
    if recipe.cohort.sealed:
        raise UserError(f"{where}: cohort.sealed: form.grouping {name} reads single adapters; use wishes")
    if not recipe.rounds:
        raise UserError(
            f"{where}: rounds: form.grouping {name} reads what training made, and 0 rounds make nothing; "
            "take at least 1, or form.grouping = 'wishes'"
        )


def require_bearable_ranks(recipe: Recipe, where: str) -> None:
    """Ranks that the method has, and a rule that can average them."""
    if not recipe.devices.ranks:
        return
    usual, rule = int(getattr(recipe.method, "rank", 0)), getattr(recipe.form, "aggregator", None)
    found = recipe.devices.distinct_ranks(usual)
    if getattr(recipe.form, "serves_two", False):
        raise UserError(
            f"{where}: devices.ranks: the form {shelf_name(recipe.form)} serves two adapters side by side, "
            "which are not cut to smaller ranks; use clustered"
        )
    if max(found) > usual:
        raise UserError(f"{where}: devices.ranks: {max(found)} is more than method.rank, {usual}; wanted at most that")
    if rule is not None and not rule.mixed_ranks and len(found) > 1:
        raise UserError(
            f"{where}: devices.ranks: form.aggregator {shelf_name(rule)} averages adapters of one rank only; "
            "take product_svd or rank_bands"
        )


def require_different_sinks(recipe: Recipe, where: str) -> None:
    """Two of one tool would write one state file and bear one key there."""
    names = [shelf_name(sink) for sink in recipe.sinks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{where}: sinks: {twice} is there {names.count(twice)} times; wanted each tool once")


def require_known_shapes(recipe: Recipe, where: str) -> None:
    """Embedded backbones draw one size."""
    if recipe.data.crop == "buckets" and recipe.backbone.embedded:
        raise UserError(
            f"{where}: data.crop: the backbone {shelf_name(recipe.backbone)} knows squares only; take crop = 'square', "
            "or a diffusers pipeline as the backbone"
        )


def require_possible_changes(recipe: Recipe, where: str) -> None:
    """Changes that come in time, and that data and grouping can take."""
    require_possible(recipe.changes, recipe.rounds, where)
    if recipe.data.prompt == "wish" and any(change.wish for change in recipe.changes):
        raise UserError(f"{where}: changes: no wish can change where data.prompt = 'wish' puts it before every caption")
    grouping = getattr(recipe.form, "grouping", None)
    if any(c.join or c.leave for c in recipe.changes) and hasattr(grouping, "sizes"):
        raise UserError(
            f"{where}: changes: nobody can join or leave where form.grouping.sizes says how many there are; "
            "take another grouping"
        )


def require_possible_form(form: Any, ranks: Set[int], usual: int, flip: bool, where: str) -> None:
    """All that a form cannot do with what is beside it: clients' ranks, the method's, mirrored pictures."""
    require_whole_adapters(form, where)
    require_early_groups(form, where)
    require_plain_steps(form, where)
    require_one_version(form, flip, where)
    require_one_rank(form, ranks, usual, where)
    require_part_keeping(form, where)


def require_whole_adapters(form: Any, where: str) -> None:
    """Where clients keep half of an adapter to themselves, the server has nothing that acts: it can only average."""
    keeping = getattr(form, "keeping", None)
    if keeping is None or keeping.served_is_whole:
        return
    mine = f"{where}: form.keeping {shelf_name(keeping)} leaves the server factors that do nothing alone"
    aggregator, grouping, interaction = (getattr(form, key, None) for key in ("aggregator", "grouping", "interaction"))
    if aggregator is not None and (aggregator.exact or not aggregator.linear):
        raise UserError(f"{mine}; form.aggregator {shelf_name(aggregator)} averages products: use mean")
    if grouping is not None and grouping.reads not in ("wishes", "nothing"):
        raise UserError(f"{mine}; form.grouping {shelf_name(grouping)} compares what adapters do: use wishes")
    if interaction is not None and shelf_name(interaction) != "none":
        raise UserError(f"{mine}; form.interaction {shelf_name(interaction)} mixes what adapters do: use none")
    if getattr(form, "trains_on_server", False):
        raise UserError(f"{mine}; the form {shelf_name(form)} trains them there: use another keeping")


def require_small_own_part(form: Any, method: Any, where: str) -> None:
    """What a client stacks on the served adapter is trained in the same bank, and whole weights have no factors."""
    if getattr(method, "whole", False):
        keeping = getattr(form, "keeping", None)
        if keeping is not None and (hasattr(keeping, "rank") or not keeping.served_is_whole):
            raise UserError(
                f"{where}: form.keeping {shelf_name(keeping)} takes factors apart, and method {shelf_name(method)} has "
                "none; take ditto, finetune or none"
            )
        if getattr(form, "serves_two", False):
            raise UserError(
                f"{where}: the form {shelf_name(form)} puts factors side by side, and method {shelf_name(method)} has "
                "none; take clustered"
            )
    own, whole = getattr(getattr(form, "keeping", None), "rank", None), getattr(method, "rank", None)
    if own is not None and whole is not None and own > whole:
        raise UserError(f"{where}: form.keeping.rank: {own} is more than method.rank, which is {whole}")


def require_one_kind(data: Any, backbone: Any, where: str) -> None:
    """A backbone of pictures learns from pictures, one of texts from documents, and each has settings of its own."""
    there, wanted = holds(data.source), makes(backbone)
    source, model = shelf_name(data.source), shelf_name(backbone)
    if there != wanted:
        words = {"pictures": "pictures", "texts": "documents"}
        fitting = [name for name in SOURCES.names() if holds(SOURCES[name]) == wanted]
        others = [name for name in BACKBONES.names() if getattr(BACKBONES[name], "makes", "pictures") == there]
        raise UserError(
            f"{where}: data.source: {source} holds {words[there]}, and the backbone {model} makes {wanted}; take a "
            f"source of {words[wanted]} ({', '.join(fitting)}), or a backbone that makes {there} ({', '.join(others)})"
        )
    if wanted == "pictures":
        if data.shots:
            raise UserError(f"{where}: data.shots: is for documents only, and {source} holds pictures; leave it out")
        return
    asked = {"flip": data.flip, "crop": data.crop != "square", "prompt": data.prompt != "caption"}
    for key in (key for key, given in asked.items() if given):
        raise UserError(f"{where}: data.{key}: is for pictures only, and {source} holds documents; leave it out")


ASKS = {
    "factor": "lets clients train one factor alone",
    "below": "puts a frozen adapter below the one in training",
    "slices": "gives clients of a smaller rank the first components",
    "answer": "asks every client a second time in a round",
}
"""What a rule may ask of clients, in words."""


def require_what_rule_asks(form: Any, where: str) -> None:
    """A rule that asks more of clients than to train works where a form passes that on and a keeping bears it."""
    rule = getattr(form, "aggregator", None)
    if rule is None:
        return
    mine = f"{where}: form.aggregator {shelf_name(rule)}"
    if rule.asks and rule.asks not in getattr(form, "gives", ()):
        others = [name for name in FORMS.names() if rule.asks in getattr(FORMS[name], "gives", ())]
        raise UserError(
            f"{mine} {ASKS[rule.asks]}, which the form {shelf_name(form)} does not know; use {' or '.join(others)}"
        )
    grouping, interaction, keeping = (getattr(form, key, None) for key in ("grouping", "interaction", "keeping"))
    if rule.asks == "factor" and grouping is not None and grouping.reads in ("adapters", "both"):
        raise UserError(
            f"{mine} {ASKS['factor']}, and form.grouping {shelf_name(grouping)} compares whole adapters: use wishes"
        )
    if rule.asks == "below" and keeping is not None and shelf_name(keeping) not in ("none", "stacked"):
        raise UserError(
            f"{mine} changes what lies below adapters, which form.keeping {shelf_name(keeping)} trains on from round "
            "to round: use none or stacked"
        )
    server = getattr(rule, "server", None)
    if server is not None and server.remembers and interaction is not None and shelf_name(interaction) != "none":
        raise UserError(
            f"{mine}.server {shelf_name(server)} remembers single factors, which form.interaction "
            f"{shelf_name(interaction)} writes anew: use the interaction none, or the server fedavg"
        )


def require_one_rank(form: Any, ranks: Set[int], usual: int, where: str) -> None:
    """Some forms hand on factors as they are, so that everybody's must have the shape of the method's."""
    if getattr(form, "one_rank", False) and ranks != {usual}:
        raise UserError(
            f"{where}: devices.ranks: the form {shelf_name(form)} needs method.rank, {usual}, for everybody; take "
            "fedavg or clustered with form.aggregator rank_bands"
        )


def require_part_keeping(form: Any, where: str) -> None:
    """What trains whole adapters in every round needs the whole model there."""
    keeping = getattr(form, "keeping", None)
    if keeping is None or not getattr(form, "splits_layers", False):
        return
    if type(keeping).after_round is not Keeping.after_round or not keeping.served_is_whole:
        raise UserError(
            f"{where}: form.keeping {shelf_name(keeping)} trains the whole model at a client in every round, and in "
            f"the form {shelf_name(form)} a client has only a part of it; take finetune or none"
        )


def require_targets_kept(form: Any, makes: str, where: str) -> None:
    """Whoever has the target of a noisy picture, and what was told of the noise, has the picture."""
    if getattr(form, "shape", "") == "v" and makes == "pictures":
        raise UserError(f"{where}: form.shape: {GIVES_AWAY}")


def require_noise(recipe: Recipe, where: str) -> None:
    """What is split over denoising needs a backbone that denoises."""
    if getattr(recipe.form, "trains_on_server", False) and makes(recipe.backbone) == "texts":
        raise UserError(
            f"{where}: form.name: {shelf_name(recipe.form)} buries pictures in noise, and the backbone "
            f"{shelf_name(recipe.backbone)} makes texts, which it does not; take fedavg, or split"
        )


def require_plain_steps(form: Any, where: str) -> None:
    """A correction of gradients means nothing to an optimiser that divides by their size."""
    if getattr(form, "plain_steps", False) and form.fit.optimiser != "sgd":
        raise UserError(
            f"{where}: form.fit.optimiser: the form {shelf_name(form)} corrects plain gradient steps, this is "
            f"{form.fit.optimiser}; take sgd, with a larger form.fit.rate"
        )


def require_early_groups(form: Any, where: str) -> None:
    """Some forms need to know who belongs where before anything was trained."""
    grouping = getattr(form, "grouping", None)
    if grouping is not None and getattr(form, "groups_first", False) and grouping.reads in ("adapters", "both"):
        raise UserError(
            f"{where}: form.grouping {shelf_name(grouping)} compares trained adapters, and the form {shelf_name(form)} "
            "needs its groups before the first round; take wishes or given"
        )


def require_one_version(form: Any, flip: bool, where: str) -> None:
    """What a picture is buried in protects it once."""
    if flip and getattr(form, "one_version", False):
        raise UserError(
            f"{where}: data.flip: the form {shelf_name(form)} sends one noised version of each picture, and its "
            "mirrored copy would be a second one; leave it false"
        )
