"""A study of seconds: two looks of generated pictures, five people, a backbone of random weights."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

PEOPLE = """
held = 0.4
[sets.red]
path = "red.parquet"
group = "{group}"
[sets.dots]
path = "dots.parquet"
group = "{group}"
[people.ann]
sets = ["red"]
wishes = { named = "Everything in red.", paraphrased = "The colour of poppies.", purpose = "For my door." }
[people.ben]
sets = ["red"]
wishes = { named = "Red pictures please.", paraphrased = "Like tomatoes.", purpose = "For my car." }
[people.cat]
sets = ["dots"]
leaning = ["odd"]
wishes = { named = "Made of dots.", paraphrased = "Little points.", purpose = "For my tent." }
[people.dan]
sets = ["dots"]
wishes = { named = "Dots, many of them.", paraphrased = "Speckles all over.", purpose = "For my boat." }
[people.eve]
sets = ["red", "dots"]
apart = "two wishes"
wishes = { named = "Red, and dots.", paraphrased = "Poppies and speckles.", purpose = "For my shop." }
"""

STUDY = """
name = "tiny"
question = "Does anything happen?"
target = "fedavg"
[judging]
public = ["public.parquet"]
[common]
rounds = 1
data = { column = "person", source = { name = "people", file = "people.toml", train = 4, held_out = 3 } }
form = { fit = { steps = 1, batch = 2 } }
backbone = { name = "untrained" }
method = { targets = "attention" }
engine = { workers = 0, width = 2, dtype = "fp32" }
evaluation = { levels = 4, copies = 1 }
pictures = { prompts = ["cat"], steps = 1, hybrids = false, people = false }
[settings.quick]
samples = 4
drawing_steps = 1
epochs = 1
[settings.more]
seeds = [0, 1]
rates = [1e-3, 1e-2]
samples = 4
drawing_steps = 1
epochs = 1
tuning = { evaluation = { copies = 0 } }
[[arms]]
name = "base"
trains = false
changes = { rounds = 0, form = { name = "local" } }
[[arms]]
name = "local"
changes = { form = { name = "local" } }
tries = { "rounds" = [1, 2] }
[[arms]]
name = "fedavg"
changes = { form = { name = "fedavg" } }
[[arms]]
name = "told"
rate_of = "fedavg"
changes = { form = { name = "fedavg" }, data = { prompt = "wish" } }
[[arms]]
name = "oracle"
rate_of = "fedavg"
changes = { form = { name = "clustered", keeping = { name = "none" }, grouping = { name = "oracle" } } }
[[arms]]
name = "own last"
budget = "own last"
rate_of = "fedavg"
changes = { rounds = 2, form = { name = "fedavg", keeping = { name = "finetune" } } }
[[arms]]
name = "from the future"
changes = { form = { name = "telepathy" } }
[[hypotheses]]
name = "H1"
claim = "Groups help"
better = "oracle"
other = "fedavg"
[[hypotheses]]
name = "H2"
claim = "The future is better"
better = "from the future"
other = "fedavg"
"""


def picture(look, number):
    rng = np.random.default_rng(number)
    page = np.full((16, 16, 3), 255, np.uint8)
    if look == "red":
        page[2:14, 2 : 4 + number % 11] = (200, number % 90, 20)
    elif look == "dots":
        page[rng.integers(0, 16, 40), rng.integers(0, 16, 40)] = 0
    else:
        page[4:12, 4:12] = rng.integers(0, 255, 3)
    out = io.BytesIO()
    Image.fromarray(page).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for look in ("red", "dots", "public"):
        rows = [
            {"image": {"bytes": picture(look, k), "path": ""}, "name": f"big thing{k}", "group": ("odd", "even")[k % 2]}
            for k in range(40)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{look}.parquet")
    return folder


@pytest.fixture(scope="session")
def written():
    """Writes the study, its people and what a person made of it into a folder; returns the study's file."""

    def write(folder):
        (folder / "people.toml").write_text(PEOPLE)
        (folder / "tiny.toml").write_text(STUDY)
        (folder / "tiny-reading.md").write_text("*By hand:* these are noise.\n")
        return folder / "tiny.toml"

    return write


@pytest.fixture
def recipe(tmp_path, written):
    return written(tmp_path)
