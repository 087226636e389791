"""The packaged judges, on the studio's real pictures that they never saw, and a classifier that learns two colours."""

import numpy as np
import pytest
from scipy import ndimage

from coterie.core.errors import UserError
from coterie.data.sources.studio import Studio
from coterie.evals.classifier import Lessons, load_classifier, load_judge, train_classifier

STYLES = ("blueprint", "contrast", "neon", "other", "pixel")


@pytest.fixture(scope="module")
def held_out():
    table = Studio().read(32)
    at = [i for i, split in enumerate(table.columns["split"]) if split == "test"]
    return table.pixels[at], [table.columns["style"][i] for i in at]


def test_the_style_judge_knows_each_look_on_subjects_it_never_saw(held_out):
    judge = load_judge("style")
    pictures, styles = held_out
    assert judge.classes == STYLES
    assert judge.probabilities(pictures).sum(1) == pytest.approx(np.ones(len(pictures)))
    assert judge.accuracy(pictures, styles) >= 0.9
    for look in set(styles):
        mine = np.array([style == look for style in styles])
        assert judge.accuracy(pictures[mine], [look] * mine.sum()) >= 0.8


def test_what_has_the_colours_of_a_look_but_not_its_lines_is_other(held_out):
    judge = load_judge("style")
    pictures, _ = held_out
    blurred = ndimage.gaussian_filter(pictures, (0, 3, 3, 0))
    assert judge.accuracy(blurred, ["other"] * len(blurred)) >= 0.9
    noise = 100 * np.random.default_rng(0).normal(size=pictures.shape)
    noised = np.clip(pictures + noise, 0, 255).astype(np.uint8)
    assert judge.accuracy(noised, ["other"] * len(noised)) >= 0.9
    random = np.random.default_rng(1).integers(0, 256, pictures.shape).astype(np.uint8)
    assert judge.accuracy(random, ["other"] * len(random)) >= 0.9


def test_the_subject_judge_beats_the_commonest_group_in_each_look(held_out):
    judge = load_judge("subject")
    assert judge.classes == (
        "activities", "animals-nature", "food-drink", "objects", "people-body", "smileys-emotion", "symbols",
        "travel-places",
    )  # fmt: skip
    table = Studio().read(32)
    for look in ("neon", "blueprint", "contrast"):
        at = [i for i in range(len(table)) if (table.columns["style"][i], table.columns["split"][i]) == (look, "test")]
        groups = [table.columns["group"][i] for i in at]
        commonest = max(groups.count(group) for group in groups) / len(groups)
        assert judge.accuracy(table.pixels[at], groups) > commonest


def test_there_is_no_third_judge(tmp_path):
    with pytest.raises(UserError, match="did you mean 'style'"):
        load_judge("styl")
    with pytest.raises(UserError, match="no such file"):
        load_classifier(tmp_path / "x.safetensors")


def test_parts_of_a_class_are_added_and_a_file_keeps_what_was_learned(tmp_path):
    rng = np.random.default_rng(0)
    colours = {"warm/red": (220, 30, 30), "warm/yellow": (230, 220, 20), "cold": (20, 40, 220)}
    labels = [name for name in colours for _ in range(16)]
    pictures = np.stack([np.array(colours[name]) + rng.integers(-20, 21, (32, 32, 3)) for name in labels])
    pictures = pictures.clip(0, 255).astype(np.uint8)
    lessons = Lessons(epochs=40, width=8, warp=False, mix=0.2, average=0.8, members=2)
    one, again = (train_classifier(pictures, labels, 0, lessons) for _ in range(2))
    assert one.classes == ("cold", "warm")
    assert one.parts == ("cold", "warm/red", "warm/yellow")
    assert one.accuracy(pictures, [label.split("/")[0] for label in labels]) == 1
    assert np.array_equal(one.probabilities(pictures), again.probabilities(pictures))
    one.save(tmp_path / "x.safetensors")
    loaded = load_classifier(tmp_path / "x.safetensors")
    assert loaded.probabilities(pictures) == pytest.approx(one.probabilities(pictures), abs=0.02)
