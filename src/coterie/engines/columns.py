"""Many rows of the same few fields as columns: tensors, which a message can hold by the million, and a list of names.

A checkpoint's header has room for a few megabytes of plain values, and a thousand clients write that in ten rounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


def as_columns(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Rows of whole numbers, truth values and strings; in a column all are of one kind."""
    columns: list[Any] = []
    for column in zip(*rows, strict=True):
        if isinstance(column[0], str):
            names = {name: place for place, name in enumerate(dict.fromkeys(column))}
            columns.append({"names": list(names), "places": torch.tensor([names[name] for name in column])})
        else:
            columns.append(torch.tensor([int(value) for value in column], dtype=torch.int64))
    return {"columns": columns}


def from_columns(plain: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The rows again; truth values as 0 and 1."""
    columns = []
    for column in plain["columns"]:
        if isinstance(column, Mapping):
            columns.append([column["names"][place] for place in column["places"].tolist()])
        else:
            columns.append(column.tolist())
    return list(zip(*columns, strict=True))
