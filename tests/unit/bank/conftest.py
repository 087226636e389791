"""A network of a second's size with every kind of layer that the bank adapts."""

import numpy as np
import pytest
import torch

from coterie.models.shelves import BACKBONES


@pytest.fixture(scope="session")
def backbone():
    made = {}

    def make(dtype=torch.float32):
        if dtype not in made:
            made[dtype] = BACKBONES.build({"name": "untrained", "seed": 3}).load(dtype, 8)
        return made[dtype]

    return make


@pytest.fixture(scope="session")
def examples():
    def make(model, n, seed=0):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 255, (n, model.side, model.side, 3), dtype=np.uint8)
        return model.prepare(pixels, [f"thing {i % 3}" for i in range(n)])

    return make
