"""The data and the loop that made the embedded backbone, on drawings that the test draws."""

import dataclasses
import io
import json
import os
import signal
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file

from coterie.core.errors import UserError
from coterie.models.backbones.doodle import load_weights, weights_folder
from coterie.pretraining.curve import curve_svg, draw_curve, ticks
from coterie.pretraining.folder import seen_before
from coterie.pretraining.scenes import COLOURS, draw, draw_alone, draw_scene, recolour
from coterie.pretraining.sprites import is_held_out, read_sprites
from coterie.pretraining.train import WEIGHTS, Pretraining, learning_rate, pretrain


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    from datasets import Dataset

    rows = []
    for i in range(40):
        picture = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(picture).ellipse([14, 14, 50, 50], fill=(30 + 5 * i, 90, 200 - 4 * i))
        out = io.BytesIO()
        picture.save(out, "PNG")
        rows.append(
            {
                "image": {"bytes": out.getvalue(), "path": None}, "codepoint": f"1f{i:03x}", "name": f"ball {i}",
                "group": ("objects", "symbols")[i % 2], "tags": ["round"],
            }
        )  # fmt: skip
    path = tmp_path_factory.mktemp("drawings") / "balls.parquet"
    Dataset.from_list(rows).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def sprites(drawings):
    return read_sprites([drawings])


def test_the_white_around_an_object_is_see_through_and_the_object_is_not(sprites):
    alpha = sprites[0].rgba[..., 3]
    assert alpha[0].max() == 0
    assert alpha[32, 32] == 255
    assert 0.2 < (alpha == 255).mean() < 0.4


def test_one_subject_in_ten_is_held_out_in_every_set_alike(sprites):
    many = [f"{i:05x}" for i in range(5000)]
    assert 0.08 < np.mean([is_held_out(c) for c in many]) < 0.12
    assert is_held_out("1f600") == is_held_out("1f600")


def test_pictures_are_functions_of_their_seed_and_captions_say_what_is_drawn(sprites):
    for seed in range(30):
        one, other = (draw(sprites, np.random.default_rng([0, seed])) for _ in range(2))
        assert np.array_equal(one[0], other[0])
        assert one[1] == other[1]
        assert one[0].shape == (32, 32, 3)
        assert "ball" in one[1]
    alone, caption = draw_alone(sprites[0], np.random.default_rng(1))
    assert alone[0, 0].min() > 240
    assert not any(word in caption for word in COLOURS)


def test_colour_and_side_words_are_true(sprites):
    seen = 0
    for seed in range(300):
        picture, caption = draw_scene(sprites[0], np.random.default_rng(seed))
        if "red" in caption.split() and " in " not in caption and " on the" not in caption and "by" not in caption:
            ball = picture[picture.astype(int).sum(-1) < 600]
            if len(ball):
                seen += 1
                assert ball[:, 0].mean() > ball[:, 2].mean()
        if caption.endswith("on the left") and picture[0, 0].min() > 240:
            dark = np.argwhere(picture.astype(int).sum(-1) < 600)
            assert dark[:, 1].mean() < 15
            seen += 1
    assert seen > 5
    assert recolour(sprites[0].rgba, "green")[32, 32, :3].argmax() == 1


def test_the_rate_rises_stays_and_falls_to_nothing():
    settings = Pretraining(pictures=64_000, batch=64, rate=1.0, warmup=100)
    assert learning_rate(settings, 0) == 0.01
    assert learning_rate(settings, 20_000) == 1.0
    assert learning_rate(settings, 64_000) == 0
    assert 0 < learning_rate(settings, 60_000) < 0.2


def test_a_resumed_training_sees_and_learns_the_same(drawings, tmp_path):
    settings = Pretraining(pictures=32, batch=8, processes=1, save_seconds=1e9, grid_steps=1)
    told = []
    pretrain(tmp_path / "whole", [drawings], settings, told.append)
    halves = dataclasses.replace(settings, pictures=16)
    with pytest.MonkeyPatch.context() as patch:  # the second half, under the whole budget's rate
        patch.setattr("coterie.pretraining.train.learning_rate", lambda s, seen: learning_rate(settings, seen))
        pretrain(tmp_path / "again", [drawings], halves, told.append)
        pretrain(tmp_path / "again", [drawings], settings, told.append)
    whole, again = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "again"))
    # Captions that come together are encoded together, so the same pictures and captions differ in their last bits.
    assert all(torch.allclose(whole[key], again[key], rtol=1e-3, atol=2e-4) for key in whole if key.startswith("ema"))
    curve = [json.loads(line) for line in (tmp_path / "again" / "curve.jsonl").read_text().splitlines()]
    assert [point["pictures"] for point in curve] == [16, 32]
    assert told[0]["held_out"] > 0
    with Image.open(tmp_path / "whole" / "grid.png") as grid:
        assert grid.size == (528, 264)
    assert len(ET.parse(tmp_path / "again" / "curve.svg").findall(".//{*}circle")) == 2


def test_two_processes_train_one_model(drawings, tmp_path):
    settings = Pretraining(pictures=16, batch=8, processes=2, save_seconds=1e9, grid_steps=1)
    told, steps = [], []
    path = pretrain(tmp_path / "two", [drawings], settings, told.append, lambda seen, loss: steps.append(seen))
    assert path == tmp_path / "two" / WEIGHTS
    assert [point["pictures"] for point in told] == [16]
    assert (steps[0], steps[-1]) == (0, 16)
    one = dataclasses.replace(settings, processes=1)
    pretrain(tmp_path / "one", [drawings], one, print)
    two = load_file(path)
    assert two.keys() == load_file(tmp_path / "one" / WEIGHTS).keys()
    assert all(torch.isfinite(value).all() for value in two.values())
    loaded = load_weights(tmp_path / "two").state_dict()
    assert all(torch.equal(loaded[name].half(), value) for name, value in two.items())
    assert not (tmp_path / "two" / "rendezvous").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_the_step_and_saves(drawings, tmp_path, processes):
    settings = Pretraining(pictures=8000, batch=8, processes=processes, save_seconds=1e9, grid_steps=1)

    def interrupt(seen, loss):
        if seen == 8:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        pretrain(tmp_path / "run", [drawings], settings, print, interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    seen = seen_before(tmp_path / "run")
    assert 8 <= seen < 8000
    assert not (tmp_path / "run" / "curve.jsonl").exists()  # saved at once, not evaluated
    told = []
    rest = dataclasses.replace(settings, pictures=seen + 8, processes=1)
    pretrain(tmp_path / "run", [drawings], rest, told.append)
    assert [point["pictures"] for point in told] == [seen + 8]
    assert np.isfinite(told[0]["train"])
    pretrain(tmp_path / "run", [drawings], rest, told.append)  # nothing is left to do
    assert len(told) == 1


def test_a_folder_is_only_continued_with_its_own_settings(drawings, tmp_path):
    settings = Pretraining(pictures=8, batch=8, processes=1, grid_steps=1)
    pretrain(tmp_path, [drawings], settings, print)
    other = dataclasses.replace(settings, seed=3)
    with pytest.raises(UserError, match="was begun with seed 0, not 3; choose another folder"):
        pretrain(tmp_path, [drawings], other, print)
    assert json.loads((tmp_path / "settings.json").read_text())["seed"] == 0
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"state.safetensors: no state that can be read; delete it"):
        pretrain(tmp_path, [drawings], settings, print)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"pictures": 10}, "10 pictures are less than one step of 64"),
        ({"processes": 3}, "3 processes cannot share 64 pictures a step evenly"),
        ({"device": "gpu"}, "device 'gpu': no such device; there are: cpu, cuda"),
    ],
)
def test_settings_that_cannot_be_used(drawings, tmp_path, change, wanted):
    with pytest.raises(UserError, match=wanted):
        pretrain(tmp_path / "x", [drawings], Pretraining(**change), print)
    assert not (tmp_path / "x").exists()


def test_the_curve_is_one_drawing_with_named_axes(tmp_path):
    draw_curve(weights_folder() / "curve.jsonl", tmp_path / "curve.svg")
    drawn = ET.parse(tmp_path / "curve.svg")
    words = [text.text for text in drawn.findall(".//{*}text")]
    assert {"thousand pictures seen", "held-out loss", "500", "0.168"} <= set(words)
    assert "prefers-color-scheme:dark" in drawn.find(".//{*}style").text
    assert [p.name for p in tmp_path.iterdir()] == ["curve.svg"]
    ET.fromstring(curve_svg([(64, 0.5)]))  # one point is enough


@pytest.mark.parametrize(("low", "high"), [(0, 499_968), (0.1682, 0.2446), (0.9, 1.7), (0.5, 0.5), (0, 64), (1e-7, 3)])
def test_ticks_are_round_few_and_enclose_all(low, high):
    found = ticks(low, high, 6)
    assert found[0] <= low
    assert found[-1] >= high
    assert 2 <= len(found) <= 6
    assert np.allclose(np.diff(found), found[1] - found[0])


def test_files_that_are_no_drawings(tmp_path, drawings):
    from datasets import Dataset

    Dataset.from_list([{"image": b"", "name": "x"}]).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x.parquet: column 'codepoint' is missing"):
        read_sprites([tmp_path / "x.parquet"])
    with pytest.raises(UserError, match="no such file"):
        read_sprites([tmp_path / "none.parquet"])
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"text.parquet: not a parquet file that can be read"):
        read_sprites([tmp_path / "text.parquet"])
    row = {"image": {"bytes": b"no picture"}, "codepoint": "1", "name": "x", "group": "x", "tags": []}
    Dataset.from_list([row]).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(UserError, match=r"bad.parquet: row 0: column 'image' holds no picture"):
        read_sprites([tmp_path / "bad.parquet"])
    with pytest.raises(UserError, match="0 drawings are too few"):
        pretrain(tmp_path / "x", [], Pretraining(), print)
