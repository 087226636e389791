"""The embedded set: its counts, its one split of subjects, and that nothing held out has been seen."""

import itertools
import re
import tomllib
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from coterie.core.errors import UserError
from coterie.data.check import check, distances
from coterie.data.population import Population, pooled, validation
from coterie.data.sources.studio import PROMPTS, Studio, population

STYLES = {"blueprint", "contrast", "neon", "pixel"}
STYLE_WORDS = r"neon|blueprint|pixel|contrast|black|white|sign|drawing|outline|glow\w*|art|plan|icon|symbol|tile"


@pytest.fixture(scope="module")
def people():
    return population()


@pytest.fixture(scope="module")
def table():
    return Studio().read(32)


def test_twelve_people_three_to_a_style(people):
    assert len(people.clients) == 12
    assert list(people.clients) == sorted(people.clients)
    styles = [data.style for data in people.clients.values()]
    assert {style: styles.count(style) for style in STYLES} == dict.fromkeys(STYLES, 3)
    for name, data in people.clients.items():
        assert re.fullmatch("[a-z]{2,6}", name)
        assert (len(data.train), len(data.held_out)) == (12, 8)
        assert data.train.pixels.shape == (12, 32, 32, 3)
        assert data.train.pixels.dtype == np.uint8
        assert set(data.train.columns["style"]) == {data.style}


def test_wishes_are_one_sentence_of_each_kind(people):
    names = {"neon": "neon", "blueprint": "blueprint", "pixel": "pixel", "contrast": "contrast|black and white"}
    for data in people.clients.values():
        assert set(data.wishes) == {"named", "paraphrased", "purpose"}
        for kind, wish in data.wishes.items():
            assert 8 <= len(wish.split()) <= 16
            assert wish.endswith(".")
            assert bool(re.search(names[data.style], wish.lower())) == (kind == "named"), wish
    assert len({wish for data in people.clients.values() for wish in data.wishes.values()}) == 36


def test_validation_subjects_are_set_aside_for_everybody_and_held_out_pictures_not_touched(people):
    tuning = validation(people)
    train = {s for data in tuning.clients.values() for s in data.train.columns["subject"]}
    aside = {s for data in tuning.clients.values() for s in data.held_out.columns["subject"]}
    held_out = {s for data in people.clients.values() for s in data.held_out.columns["subject"]}
    assert not train & aside
    assert not (train | aside) & held_out
    for name, data in tuning.clients.items():
        assert len(data.train) + len(data.held_out) == len(people.clients[name].train)
        assert len(data.train) >= 6
        assert len(data.held_out) >= 2
    table = people.clients["ada"].train
    for pair in itertools.combinations(range(len(table)), 2):  # also of two subjects, none of which is drawn, or both
        two = validation(Population({"ada": replace(people.clients["ada"], train=table.take(pair))}, ())).clients["ada"]
        assert (len(two.train), len(two.held_out)) == (1, 1)
    same = table.take([0, 0, 0, 0])
    one = validation(Population({"ada": replace(people.clients["ada"], train=same)}, ())).clients["ada"]
    assert len(one.train) >= 1 <= len(one.held_out)
    assert len(one.train) + len(one.held_out) == 4
    few = replace(people.clients["ada"], train=table.take([0]))
    with pytest.raises(UserError, match=r"data\.test: ada has too few examples"):
        validation(Population({"ada": few}, ()))


def test_a_subject_is_on_one_side_for_everybody(people):
    train = {subject for data in people.clients.values() for subject in data.train.columns["subject"]}
    held_out = {subject for data in people.clients.values() for subject in data.held_out.columns["subject"]}
    assert not train & held_out
    assert not train & set(PROMPTS)
    assert {"cat", "mushroom", "sailboat"} <= held_out
    words = {word for data in people.clients.values() for caption in data.train.captions for word in caption.split()}
    assert not words & set(PROMPTS)


def test_people_of_a_style_train_on_different_subjects(people):
    for style in STYLES:
        subjects = [s for data in people.clients.values() if data.style == style for s in data.train.columns["subject"]]
        assert len(subjects) == len(set(subjects)) == 36


def test_each_person_leans_to_two_groups(people):
    text = resources.files("coterie.data").joinpath("studio", "people.toml").read_text(encoding="utf-8")
    about = tomllib.loads(text)
    for name, data in people.clients.items():
        for part, leaning in ((data.train, 8), (data.held_out, 6)):
            assert sum(group in about[name]["leaning"] for group in part.columns["group"]) == leaning


def test_no_near_duplicate_crosses_the_split_or_repeats_in_training(people, table):
    assert not check(table).near_duplicates
    for style in STYLES:
        train = np.concatenate([data.train.pixels for data in people.clients.values() if data.style == style])
        held_out = people.held_out_of_style(style)
        assert distances(train, held_out.pixels).min() > 0.1
        assert (distances(train, train) + 2 * np.eye(len(train))).min() > 0.1
        exact = np.abs(train[:, None].astype(int) - held_out.pixels[None].astype(int)).mean((2, 3, 4))
        assert exact.min() > 6


def test_captions_do_not_tell_the_style(table):
    told = [caption for caption in table.captions if re.search(rf"\b({STYLE_WORDS})s?\b", caption.lower())]
    assert not told


def test_the_styles_look_different(people):
    mean = {style: people.held_out_of_style(style).pixels.mean((0, 1, 2)) for style in STYLES}
    assert mean["neon"].max() < 100
    assert mean["blueprint"][2] > 1.5 * mean["blueprint"][0]
    assert np.ptp(mean["contrast"]) < 0.5 < np.ptp(mean["pixel"])


def test_held_out_of_style_has_each_subject_once(people):
    for style in STYLES:
        subjects = people.held_out_of_style(style).columns["subject"]
        assert len(subjects) == len(set(subjects)) >= 14
    with pytest.raises(UserError, match="nobody draws 'neom'; did you mean 'neon'"):
        people.held_out_of_style("neom")


def test_pooled_studio(people):
    everyone = pooled(people, by_style=False)
    assert list(everyone.clients) == ["everyone"]
    assert len(everyone.clients["everyone"].train) == 144
    styles = pooled(people, by_style=True)
    assert set(styles.clients) == STYLES
    assert all(len(data.train) == 36 and data.style == name for name, data in styles.clients.items())
    total = sum(len(data.held_out) for data in styles.clients.values())
    assert len(everyone.clients["everyone"].held_out) == total


def test_licences_and_size(table):
    folder = resources.files("coterie.data").joinpath("studio")
    assert len(folder.joinpath("studio.parquet").read_bytes()) < 3_000_000
    assert set(table.columns) == {"person", "style", "split", "subject", "group", "source", "licence"}
    text = folder.joinpath("LICENCES.md").read_text(encoding="utf-8")
    for source, licence in set(zip(table.columns["source"], table.columns["licence"], strict=True)):
        assert f"`{source}`" in text
        assert licence in text
    assert "Copyright (c) Microsoft Corporation" in text


def test_another_size_is_resampled():
    assert Studio().read(16).pixels.shape == (240, 16, 16, 3)
