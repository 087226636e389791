"""The studio: twelve people, four looks, twenty captioned pictures each, inside the package.

Each person has twelve pictures to learn from and eight held out, leaning to two groups of subjects. Subjects are
parted once for everybody: what is held out for one person is in nobody's training set, in any look. Within a look no
two people train on the same subject; they may share held-out ones, for there are fewer of those.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

from coterie.data.buckets import Cut
from coterie.data.picture import Row, gather
from coterie.data.population import ClientData, Population
from coterie.data.shelf import SOURCES
from coterie.data.table import Table

PROMPTS = ("cat", "mushroom", "sailboat", "guitar", "owl", "castle", "strawberry", "bicycle")
"""What a report draws for everybody: held out in every look, so no adapter has seen them."""
PROMPT_GROUPS = dict(
    zip(
        PROMPTS,
        ("animals-nature", "animals-nature", "travel-places", "objects", "animals-nature", "travel-places",
         "food-drink", "travel-places"),
        strict=True,
    )
)  # fmt: skip
"""Group of subjects of each of them, as the public sets have it."""


@SOURCES.register("studio")
@dataclass(frozen=True)
class Studio:
    """The embedded pictures; columns ``person style split subject group source licence``. No settings."""

    def read(self, cut: Cut) -> Table:
        """All 240 rows; they are squares of 32 pixels, for any other side they are resampled."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        packed = resources.files("coterie.data").joinpath("studio", "studio.parquet").read_bytes()
        rows = pq.read_table(pa.BufferReader(packed)).to_pylist()
        found = (Row(row["image"]["path"], row["image"]["bytes"], row["caption"], _texts(row)) for row in rows)
        table = gather(found, cut)
        assert not table.skipped
        return table


def population(cut: Cut = 32) -> Population:
    """The twelve people in alphabetical order, with their wishes and looks."""
    table = Studio().read(cut)
    text = resources.files("coterie.data").joinpath("studio", "people.toml").read_text(encoding="utf-8")
    clients = {}
    for person, about in sorted(tomllib.loads(text).items()):
        parts = {
            split: table.take([i for i in range(len(table)) if _at(table, i) == (person, split)])
            for split in ("train", "test")
        }
        clients[person] = ClientData(person, parts["train"], parts["test"], about["wishes"], about["style"])
    return Population(clients, PROMPTS)


def _at(table: Table, index: int) -> tuple[str, str]:
    return table.columns["person"][index], table.columns["split"][index]


def _texts(row: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in row.items() if name not in {"image", "caption"}}
