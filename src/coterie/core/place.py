"""The mark of a setting of text that names a file or folder; a setting of type ``Path`` needs none."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Put beside the type, as in ``Annotated[str, Place()]``.

    Attributes:
        or_id: whether the text may be an id of a hub instead, like ``owner/name``.
    """

    or_id: bool = False
