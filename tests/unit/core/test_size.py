"""Sizes as people write them, and what a model can draw."""

import pytest

from coterie.core.errors import UserError
from coterie.core.size import read_size, require_size


@pytest.mark.parametrize("text", ["512x768", " 512 x 768 ", "512X768", "512×768"])
def test_width_comes_first_where_people_write_and_height_where_tensors_lie(text: str) -> None:
    assert read_size(text, "--size") == (768, 512)


@pytest.mark.parametrize("text", ["", "512", "512x", "0x512", "-8x8", "8.5x8", "8x8x3", "4097x8"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UserError, match=r"^--size: "):
        read_size(text, "--size")


def test_the_nearest_that_a_model_can_draw_is_named() -> None:
    assert require_size((768, 512), 512, 8, "--size") == (768, 512)
    with pytest.raises(UserError, match=r"500x3: .* multiples of 8, like 496x8$"):
        require_size((3, 500), 512, 8, "--size")
    assert require_size((32, 32), 32, 32, "--size") == (32, 32)
    with pytest.raises(UserError, match="squares of 32x32 only"):
        require_size((64, 64), 32, 32, "--size")
