"""The map: distances kept, a fixed orientation, labels apart."""

from itertools import combinations

import numpy as np
import pytest

from coterie.report.figures import HEIGHT, LETTER, WIDTH, _box, _overlap, scaled, wish_map


def test_flat_distances_are_kept():
    points = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    flat, shown = scaled(distance)
    assert np.linalg.norm(flat[:, None] - flat[None], axis=-1) == pytest.approx(distance)
    assert shown == pytest.approx(1)
    assert (flat[np.abs(flat).argmax(0), [0, 1]] > 0).all()


def test_twelve_people_in_two_heaps_have_marks_and_labels_apart():
    rng = np.random.default_rng(3)
    heaps = rng.normal(size=(2, 32))
    wishes = {f"person-{i:02d}": (heaps[i % 2] + 0.05 * rng.normal(size=32)).tolist() for i in range(12)}
    drawn = wish_map(wishes, {name: i % 2 for i, name in enumerate(wishes)})
    assert drawn == wish_map(dict(reversed(wishes.items())), {name: i % 2 for i, name in enumerate(wishes)})
    for one, other in combinations(drawn.marks, 2):
        assert np.hypot(one.x - other.x, one.y - other.y) > 15
        boxes = [_box((m.label_x, m.label_y, m.anchor), LETTER * len(m.name)) for m in (one, other)]
        assert _overlap(*boxes) == 0
    assert all(0 < m.x < WIDTH and 0 < m.y < HEIGHT for m in drawn.marks)


def test_people_who_wish_the_same_are_beside_each_other():
    drawn = wish_map({name: [1.0, 0.0, 0.0] for name in "abcd"}, {})
    places = {(round(m.x), round(m.y)) for m in drawn.marks}
    assert len(places) == 4
    assert all(np.isfinite([m.x, m.y, m.label_x, m.label_y]).all() for m in drawn.marks)
