"""The life of clusters: what passes from one grouping to the next when people come, go or wish for something else.

Paper A (Li et al., 2025, arXiv:2508.04745) groups once and does not say what follows; this is our reading of what its
clusters need. A label changes only for a reason (``settled``), a cluster keeps its name (``stable_ids``), and what was
learned is inherited (``parents``, ``passed_on``): a matched cluster keeps its adapter, one that split off begins with a
copy of its parent's, and where clusters end in another one, that begins with the mean of what they did, weighted by the
examples that came from each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from coterie.core.adapter import Adapter
from coterie.core.site import ClientId, Facts
from coterie.federation.groupings.weights import products
from coterie.federation.products import mean_of_products
from coterie.federation.stable import members_of, stable_ids

MOVED = 0.05  # 1 - u_old . u_new beyond which a wish is another one


class Likeness:
    """Cosines between centres of sets of clients, from inner products of what is known of each.

    Args:
        vectors: by client what its grouping reads: a wish ``(width,)``, an adapter before and after a training, or a
            pair of a wish and such a change, of which the wish is compared.
    """

    def __init__(self, vectors: Mapping[ClientId, Any]) -> None:
        self.at = {client: i for i, client in enumerate(sorted(vectors))}
        known = [vectors[client] for client in self.at]
        if known and isinstance(known[0], tuple) and isinstance(known[0][0], Adapter):
            self.inner = products(known)
            return
        wishes = [wish[0] if isinstance(wish, tuple) else wish for wish in known]
        rows = np.stack([np.asarray(wish, dtype=np.float64) for wish in wishes]) if wishes else np.zeros((0, 1))
        self.inner = rows @ rows.T

    def __call__(self, some: Collection[ClientId], others: Collection[ClientId]) -> float:
        """``cos(mu_some, mu_others)``; 0 where nothing is known of either."""
        i, j = ([self.at[c] for c in clients if c in self.at] for clients in (some, others))
        if not i or not j:
            return 0.0
        squares = self.inner[np.ix_(i, i)].sum() * self.inner[np.ix_(j, j)].sum()
        return float(self.inner[np.ix_(i, j)].sum() / np.sqrt(squares)) if squares > 0 else 0.0


class Named(NamedTuple):
    """Cluster by client under stable names, how many names were ever given, and who waits for a cluster of its own."""

    labels: dict[ClientId, str]
    used: int
    waiting: tuple[ClientId, ...] = ()


def moved(old: Mapping[ClientId, Any], new: Mapping[ClientId, Any]) -> bool:
    """Whether the wish of somebody who had one is another one now: ``1 - u_old . u_new > 0.05``."""
    cosines = (Likeness({"old": old[c], "new": new[c]})(["old"], ["new"]) for c in new if c in old)
    return any(1 - cosine > MOVED for cosine in cosines)


def regrouped(
    old: Mapping[ClientId, str],
    found: Mapping[ClientId, str],
    vectors: Mapping[ClientId, Any],
    everybody: Collection[ClientId],
    used: int,
    margin: float | None,
    waiting: Collection[ClientId] = (),
) -> Named:
    """The next labels of all who are there.

    Args:
        old: cluster by client so far; who left may still be in it.
        found: group by client as the grouping has it, under arbitrary names.
        vectors: what the grouping read of each client.
        everybody: who is there now.
        used: names ever given.
        margin: of ``settled``; None lets everybody move, as at the first grouping.
        waiting: who is in a cluster of ``old`` only because no grouping has said anything of them yet. They are not
            what it is known by: its name stays with the others, and nothing holds them there.

    Returns:
        Labels of everybody. Of whom the grouping said nothing, who had a cluster stays in it, and others wait in the
        cluster with the most members.
    """
    likeness = Likeness(vectors)
    sorted_in = {client: name for client, name in old.items() if client not in waiting}
    known_by = {**{c: name for c, name in old.items() if name not in set(sorted_in.values())}, **sorted_in}
    labels, used = stable_ids(known_by, found, used, likeness)
    if margin is not None and vectors:
        labels = settled(sorted_in, labels, likeness, margin)
    labels |= {client: old[client] for client in everybody if client not in labels and client in old}
    members = members_of(labels)
    rest = sorted(set(everybody) - labels.keys())
    if rest and not members:
        members, used = {f"cluster-{used}": []}, used + 1
    labels |= dict.fromkeys(rest, min(members, key=lambda name: (-len(members[name]), name))) if rest else {}
    waits = sorted((set(rest) | set(waiting)) & labels.keys() - found.keys())
    return Named(dict(sorted(labels.items())), used, tuple(waits))


def settled(
    old: Mapping[ClientId, str],
    new: Mapping[ClientId, str],
    likeness: Callable[[Collection[ClientId], Collection[ClientId]], float],
    margin: float,
) -> dict[ClientId, str]:
    """Hysteresis: who would change clusters stays, unless the new centre is nearer than the old one by ``margin``.

    Centres are those of the new groups, taken once, so nothing depends on an order, and without the client itself,
    which would pull one of the two. Where the old cluster is gone, there is nothing to stay in.
    """
    members, stays = members_of(new), dict(new)
    for client, name in new.items():
        before = old.get(client, name)
        if before != name and before in members:
            others = [other for other in members[name] if other != client] or [client]
            gain = likeness([client], others) - likeness([client], members[before])
            if gain <= margin:
                stays[client] = before
    return stays


def parents(
    old: Mapping[ClientId, str], new: Mapping[ClientId, str], everybody: Mapping[ClientId, Facts]
) -> dict[str, dict[str, float]]:
    """By new cluster, the old ones that it inherits from, each with its weight; none where all members are new people.

    A cluster that goes on inherits from itself and from those that ended in it, but not from living ones of which
    somebody merely moved here. A cluster that begins inherits from wherever its members were.
    """
    living, before = set(new.values()), set(old.values())
    inherits = {}
    for name, members in members_of(new).items():
        brought: dict[str, float] = {}
        for client in members:
            if client in old:
                brought[old[client]] = brought.get(old[client], 0.0) + everybody[client].num_examples
        if name in before:
            brought = {p: n for p, n in brought.items() if p == name or p not in living}
        total = sum(brought.values())  # nobody may have an example: then all parents count alike
        inherits[name] = {p: n / total if total else 1 / len(brought) for p, n in sorted(brought.items())}
    return inherits


class Estate(NamedTuple):
    """What clusters have: adapters and aggregators' states by name.

    ``past`` holds the adapters of clusters that everybody left, which stay published.
    """

    clusters: dict[str, Adapter]
    agg: dict[str, Any]
    past: dict[str, Adapter]


def passed_on(
    old: Estate,
    inherits: Mapping[str, Mapping[str, float]],
    root: Adapter,
    init: Callable[[Adapter], Any],
) -> Estate:
    """Adapters and states of the clusters that there are now.

    The state of an aggregator goes on where the adapter does, in a cluster that goes on and in a copy: its moments
    belong to exactly these factors. A mean of products has factors of its own, so its state begins anew.
    """
    clusters, agg = {}, {}
    for name, shares in inherits.items():
        if len(shares) == 1:
            (parent,) = shares
            clusters[name], agg[name] = old.clusters[parent], old.agg[parent]
            continue
        if shares:
            like = old.clusters[name if name in shares else max(shares, key=lambda p: (shares[p], p))]
            adapters = [old.clusters[parent] for parent in shares]
            clusters[name], _ = mean_of_products(adapters, list(shares.values()), like)
        else:
            clusters[name] = root
        agg[name] = init(clusters[name])
    heirs = {parent for shares in inherits.values() for parent in shares}
    deserted = {name: adapter for name, adapter in old.clusters.items() if name not in heirs | clusters.keys()}
    return Estate(clusters, agg, {**old.past, **deserted})


def told(old: Mapping[ClientId, str], new: Mapping[ClientId, str]) -> dict[str, float]:
    """What happened between two groupings, as numbers for the journal; nothing at the first one.

    ``life/ari`` is the adjusted Rand index of the two over those who are in both (Hubert and Arabie, 1985).
    """
    from sklearn.metrics import adjusted_rand_score

    if not old:
        return {}
    both = sorted(old.keys() & new.keys())
    before, after = set(old.values()), set(new.values())
    counts = {
        "moved": sum(old[client] != new[client] for client in both),
        "born": len(after - before),
        "died": len(before - after),
    }
    numbers = {f"life/{what}": float(count) for what, count in counts.items()}
    if both:
        numbers["life/ari"] = float(adjusted_rand_score([old[c] for c in both], [new[c] for c in both]))
    return numbers
