"""Which client holds which rows: each function returns indices, never pictures, and covers every row exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from coterie.core.errors import UserError, nearest
from coterie.data.table import Table

Partition = dict[str, list[int]]

HELD_OUT = frozenset({"test", "validation", "held-out"})


def by_column(table: Table, column: str) -> Partition:
    """One client for each value of a column, named by it.

    Raises:
        UserError: if there is no such column, or a row has no value in it.
    """
    shares: Partition = {}
    for index, value in enumerate(_values(table, column)):
        if not value:
            raise UserError(f"column: row {index} ({table.captions[index]!r}) has no {column!r}")
        shares.setdefault(value, []).append(index)
    return dict(sorted(shares.items()))


def iid(table: Table, num_clients: int, seed: int) -> Partition:
    """Rows shuffled and dealt out evenly, those of one ``document`` together; of these, sizes differ by one at most."""
    whole = _documents(table)
    names = _names(table, num_clients, whole)
    order = np.random.default_rng(seed).permutation(len(whole))
    return {name: sorted(i for k in order[n::num_clients] for i in whole[k]) for n, name in enumerate(names)}


def dirichlet(table: Table, column: str, alpha: float, num_clients: int, seed: int) -> Partition:
    """Each value of a column shared out by its own draw from a symmetric Dirichlet distribution.

    Args:
        table: the rows.
        column: the labels whose shares differ between clients.
        alpha: small for clients with few labels each, large for clients alike; > 0.
        num_clients: at most the number of rows.
        seed: of the draws and of the shuffles.

    Returns:
        A share for each client, none empty: a client that drew nothing is given a row of the largest share. Rows of one
        ``document`` stay together and have the label of the first.

    Raises:
        UserError: if there is no such column, more clients than rows, or alpha is not above 0.

    Source: Yurochkin et al., ICML 2019, arXiv:1905.12022, section 4.
    """
    whole = _documents(table)
    names = _names(table, num_clients, whole)
    if not 0 < alpha < float("inf"):
        raise UserError(f"alpha: {alpha} is not above 0; 0.1 gives clients with few labels each, 100 clients alike")
    rng = np.random.default_rng(seed)
    shares: list[list[int]] = [[] for _ in names]
    labels = _values(table, column)
    values = np.array([labels[rows[0]] for rows in whole])
    for label in sorted(set(values.tolist())):
        rows = rng.permutation(np.flatnonzero(values == label))
        cuts = np.rint(np.cumsum(_simplex(rng, alpha, num_clients))[:-1] * len(rows)).astype(np.intp)
        for share, part in zip(shares, np.split(rows, cuts), strict=True):
            share.extend(part.tolist())
    for share in shares:
        if not share:
            share.append(max(shares, key=len).pop())
    return {name: sorted(i for k in share for i in whole[k]) for name, share in zip(names, shares, strict=True)}


def contiguous(table: Table, num_clients: int) -> Partition:
    """Sections of the documents (or rows, where none is named) as they stand; sizes differ by one document at most.

    With a column ``split`` everybody has a section of each.
    """
    whole = _documents(table)
    names = _names(table, num_clients, whole)
    splits = table.columns.get("split", ("",) * len(table))
    shares: Partition = {name: [] for name in names}
    for split in dict.fromkeys(splits):
        of_it = [k for k, rows in enumerate(whole) if splits[rows[0]] == split]
        for name, part in zip(names, np.array_split(of_it, num_clients), strict=True):
            shares[name].extend(i for k in part.tolist() for i in whole[k])
    return {name: sorted(share) for name, share in shares.items()}


def pooled(table: Table) -> Partition:
    """One client, ``everyone``, with all rows."""
    return {"everyone": list(range(len(table)))}


def hold_out(table: Table, indices: Sequence[int], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Parts a client's rows into training and held-out ones.

    A column ``split`` decides where it says anything of these rows (``train`` against ``test``, ``validation`` or
    ``held-out``). Else whole groups are drawn until ``share`` is reached: rows with the same caption, the same
    ``subject`` or of the same ``document`` are one group and stay together, so that nothing held out has been seen
    under another number.

    Args:
        table: the rows.
        indices: those of this client.
        share: of the rows to hold out, above 0 and below 1.
        seed: of the draw.

    Returns:
        ``(train, held_out)``; held_out is empty if all rows are one group.

    Raises:
        UserError: if share is out of range, or ``split`` holds another word.
    """
    if not 0 < share < 1:
        raise UserError(f"held_out: {share} is not above 0 and below 1; 0.2 keeps one picture in five")
    rows = sorted(int(i) for i in indices)
    split = table.columns.get("split", ("",) * len(table))
    if any(split[i] for i in rows):
        for i in rows:
            if split[i] not in HELD_OUT | {"train"}:
                raise UserError(f"split: row {i} is in {split[i]!r}{nearest(split[i], HELD_OUT | {'train'})}")
        return [i for i in rows if split[i] == "train"], [i for i in rows if split[i] != "train"]
    groups = _groups(table, rows)
    wanted = max(1, round(share * len(rows)))
    held: set[int] = set()
    for g in np.random.default_rng(seed).permutation(len(groups)):
        if len(held) + len(groups[g]) <= wanted and len(held) + len(groups[g]) < len(rows):
            held.update(groups[g])
    if not held and len(groups) > 1:  # every group is larger than the share: the smallest comes nearest to it
        held.update(sorted(groups, key=len)[0])
    return [i for i in rows if i not in held], sorted(held)


def as_rows(
    table: Table, partition: Mapping[str, Sequence[int]], column: str | None = None
) -> list[tuple[str, int, str]]:
    """For a printed table: client, number of pictures, and its three most frequent values of a column (or captions)."""
    values = table.captions if column is None else _values(table, column)
    rows = []
    for client, indices in partition.items():
        top = Counter(values[i] for i in indices).most_common(3)
        rows.append((client, len(indices), ", ".join(f"{value} {count}" for value, count in top)))
    return rows


def _documents(table: Table) -> list[list[int]]:
    """Rows of one ``document`` together, in order of their first row; a row of none is one by itself."""
    names = table.columns.get("document") or ("",) * len(table)
    found: dict[tuple[str, int], list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault((name, -1 if name else i), []).append(i)
    return list(found.values())


def _groups(table: Table, rows: Sequence[int]) -> list[list[int]]:
    """Rows linked by an equal caption or subject, directly or through others, in order of their first row."""
    parent = {i: i for i in rows}

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for values in (table.captions, table.columns.get("subject"), table.columns.get("document")):
        first: dict[str, int] = {}
        for i in rows:
            if values is not None and values[i]:
                one, other = sorted((root(i), root(first.setdefault(values[i].casefold(), i))))
                parent[other] = one
    groups: dict[int, list[int]] = {}
    for i in rows:
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _simplex(rng: np.random.Generator, alpha: float, size: int) -> NDArray[np.float64]:
    drawn: NDArray[np.float64] = rng.dirichlet(np.full(size, alpha))
    if np.isfinite(drawn).all():
        return drawn
    # A tiny alpha underflows to 0 / 0; its limit is one client that takes all.
    taker: NDArray[np.float64] = np.eye(size)[rng.integers(size)]
    return taker


def _values(table: Table, column: str) -> tuple[str, ...]:
    if column not in table.columns:
        hint = nearest(column, table.columns) if table.columns else "; there are no columns"
        raise UserError(
            f"column: the {'documents' if table.is_documents else 'pictures'} have no column {column!r}{hint}"
        )
    return table.columns[column]


def _names(table: Table, num_clients: int, whole: Sequence[Sequence[int]]) -> list[str]:
    if not 1 <= num_clients <= len(whole):
        what = "documents" if table.is_documents else "pictures"
        raise UserError(f"num_clients: {num_clients} clients cannot share {len(whole)} {what}; at least one each")
    width = len(str(num_clients))
    return [f"client-{k:0{width}d}" for k in range(1, num_clients + 1)]
