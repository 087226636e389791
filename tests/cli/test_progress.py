"""The live line of a run: it says what is done and never goes back."""

from pathlib import Path

import pytest

from coterie.cli.progress import Live

RECIPES = Path(__file__).parents[2] / "recipes"


def shown(live):
    (task,) = live.bar.tasks
    return task.completed, task.total, task.fields["detail"]


def test_the_end_of_a_run_is_counted_step_by_step():
    live = Live()
    live.tell("started", form="clustered", rounds=1, arm="run")
    live.tell("round_started", round=1, arm="run")
    live.progress("fit", 5, 10)
    assert shown(live) == (pytest.approx(1 + 0.35), 3, "training 5/10")
    steps = {"keeping": 0.1, "scoring": 0.2, "people": 0.3, "copies": 0.3, "server": 0.1}
    live.tell("finishing", steps=steps, arm="run")
    seen = []
    for step in steps:
        live.tell("finishing_step", step=step, arm="run")
        seen.append(shown(live)[0])
        for kind, done in (("evaluate", 1), ("evaluate", 2), ("evaluate", 1), ("evaluate", 2)):  # two pieces of work
            live.progress(kind, done, 2)
            seen.append(shown(live)[0])
    assert seen == sorted(seen)
    assert [seen[5 * k] for k in range(5)] == [pytest.approx(2 + done) for done in (0, 0.1, 0.3, 0.6, 0.9)]
    assert 2.98 < seen[-1] < 3
    assert shown(live)[2] == "5/5 the last pictures 2/2"
    live.tell("started", form="fedavg", rounds=1, arm="control")
    live.progress("fit", 1, 2)
    assert shown(live)[2] == "training 1/2"


def test_what_is_left_of_a_run_is_shared_out_by_what_takes_long():
    from coterie.runs.last_steps import last_steps
    from coterie.runs.reading import make_recipe

    form = {"name": "fedavg", "keeping": "finetune"}
    recipe = make_recipe({"form": form, "pictures": {"prompts": ["a", "b"]}}, "test")
    steps = last_steps(recipe, people=10, published=1, scored=100)
    assert list(steps) == ["keeping", "scoring", "people", "copies", "server"]
    assert sum(steps.values()) == pytest.approx(1)
    more = last_steps(recipe, people=10, published=1, scored=10000)
    assert more["scoring"] > steps["scoring"]
    without = recipe.model_copy(update={"form": make_recipe({"form": {"name": "fedavg"}}, "test").form})
    assert last_steps(without, 10, 1, 100)["keeping"] < 0.02 < steps["keeping"]


def test_a_language_model_has_a_pace_of_its_own_and_what_was_never_measured_borrows_one():
    from coterie.runs.pace import is_measured, made_in, pace_of
    from coterie.runs.reading import make_recipe, read_recipe

    doodle, other = (make_recipe({"backbone": {"name": name}}, "test") for name in ("doodle", "untrained"))
    scribe = read_recipe(RECIPES / "readers.toml")
    assert pace_of(scribe) != pace_of(doodle) == pace_of(other)
    assert (is_measured(scribe), is_measured(doodle), is_measured(other)) == (True, True, False)
    assert made_in(scribe) == pytest.approx(pace_of(scribe).stepped * scribe.texts.tokens)
    assert made_in(doodle) == pytest.approx(pace_of(doodle).stepped * 2 * doodle.pictures.steps)
    in_float32, halved = (make_recipe({"engine": {"dtype": dtype}}, "test") for dtype in ("fp32", "bf16"))
    assert pace_of(in_float32).scored > 2 * pace_of(halved).scored
    assert pace_of(doodle) in (pace_of(in_float32), pace_of(halved))  # auto is one of them
