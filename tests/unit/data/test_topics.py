import csv
import random

import pytest

from coterie.core.errors import UserError
from coterie.data.partition import dirichlet
from coterie.data.sources.text_table import TextTable
from coterie.data.topics import topics

WORDS = {
    "sea": ["anchor", "harbour", "sailor", "tide", "storm", "deck", "mast", "island"],
    "court": ["judge", "lawyer", "trial", "verdict", "appeal", "witness", "jury", "sentence"],
    "kitchen": ["butter", "flour", "oven", "recipe", "spoon", "dough", "pepper", "onion"],
}


def texts(seed=0, each=6):
    rng = random.Random(seed)
    about = [subject for subject in WORDS for _ in range(each)]
    rng.shuffle(about)
    return about, [" ".join(rng.choices(WORDS[subject], k=20)) for subject in about]


def test_texts_of_one_vocabulary_are_one_topic_and_the_same_texts_give_the_same():
    about, found = texts()[0], topics(texts()[1], 3)
    assert len(set(zip(about, found, strict=True))) == 3
    assert set(found) == {"topic-1", "topic-2", "topic-3"}
    assert topics(texts()[1], 3) == found


def test_the_largest_topic_is_the_first():
    found = topics([*texts()[1], *(" ".join(WORDS["sea"]) for _ in range(9))], 3)
    assert found[-1] == "topic-1"


@pytest.mark.parametrize(
    ("given", "count", "said"),
    [(["a text"], 3, "3 topics cannot be made of 1 documents"), (["the", "of"], 2, "share no words")],
)
def test_what_has_no_topics_is_one_line(given, count, said):
    with pytest.raises(UserError, match=said):
        topics(given, count)


def test_rows_of_a_document_have_one_topic_and_clients_can_be_given_topics(tmp_path):
    about, given = texts()
    with (tmp_path / "t.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["page", "text"])
        for number, text in enumerate(given):
            words = text.split()
            rows.writerows([[f"p{number}", " ".join(words[:10])], [f"p{number}", " ".join(words[10:])]])
    table = TextTable(str(tmp_path / "t.csv"), document_column="page", topics=3).read()
    labels = table.columns["topic"]
    assert labels[::2] == labels[1::2]
    assert len(set(zip(about, labels[::2], strict=True))) == 3
    shares = dirichlet(table, "topic", 1e-3, 3, 0)
    assert all(len({labels[i] for i in share}) <= 2 for share in shares.values())
    with pytest.raises(UserError, match=r"t\.csv: topics: 99 topics cannot be made of 18 documents"):
        TextTable(str(tmp_path / "t.csv"), document_column="page", topics=99).read()
