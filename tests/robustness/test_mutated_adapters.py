"""500 damaged adapter files: bytes changed, and headers that lie about shapes, kinds, places and sizes."""

import json
import random
import struct

import pytest
import torch

from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.models.adapter_files import adaptable, read_file, written
from coterie.models.backbones.untrained import Untrained
from coterie.models.peft_files import peft_files, read_peft

KINDS = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "F4",
    "C64",
    "I64",
    "I32",
    "U16",
    "U8",
    "BOOL",
    "F31",
    7,
    None,
]
NUMBERS = [-1, 0, 1, 3, 2**31, 2**63, 2**64, 10**30, 1.5, "4", None, [], True]


@pytest.fixture(scope="module")
def backbone():
    return Untrained(channels=8, side=8).load(torch.float32, 24)


@pytest.fixture(scope="module")
def layers(backbone):
    wanted = ("to_q", "to_v", "conv1")
    found = {name: shape for name, shape in adaptable(backbone.network).items() if name.endswith(wanted)}
    return dict(list(found.items())[-6:])


@pytest.fixture(scope="module")
def adapter(layers):
    parts = tuple(LowRank(name, s.out, s.columns, 2, 1.5, s.kernel) for name, s in layers.items())
    layout = Layout("abc123", parts)
    return Adapter(layout, torch.randn(layout.size, generator=torch.Generator().manual_seed(0)))


def _lying(data, rng):
    """The same numbers below a header that was changed as a table, so that it can still be read."""
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    for _ in range(rng.randrange(1, 3)):
        name = rng.choice(names)
        entry = header.get(name)
        if not isinstance(entry, dict):
            continue
        match rng.randrange(9):
            case 0:
                entry["shape"] = [rng.choice(NUMBERS) for _ in range(rng.randrange(5))]
            case 1:
                entry["shape"] = list(reversed(entry["shape"])) + [1] * rng.randrange(3)
            case 2:
                entry["dtype"] = rng.choice(KINDS)
            case 3:
                entry["data_offsets"][rng.randrange(2)] = rng.choice(NUMBERS)
            case 4:
                entry["data_offsets"] = header[rng.choice([n for n in names if n in header])]["data_offsets"]
            case 5:
                header[name + rng.choice(("x", "\n", "\u202e", "y" * 3000))] = header.pop(name)
            case 6:
                header["__metadata__"] = rng.choice(
                    ([], "x", {"backbone": "other\nline"}, {"order": "[[]]"}, {"a": 1}, None)
                )
            case 7:
                header["__metadata__"] = {
                    "lora_adapter_metadata": rng.choice(
                        (
                            "[",
                            "[]",
                            '{"lora_alpha": "x"}',
                            '{"alpha_pattern": [1]}',
                            '{"lora_alpha": 1e999}',
                            "[" * 9999,
                        )
                    )
                }
            case _:  # other numbers: not finite, or too large for float32
                start, stop = json.loads(data[8 : 8 + length])[name]["data_offsets"]
                worse = struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, 1e-45)))
                body = body[:start] + worse * ((stop - start) // 4) + body[stop:]
    text = json.dumps(header)
    if rng.random() < 0.1:
        text = text[:-1] + f', "{rng.choice(names)}": ' + json.dumps(next(iter(header.values()))) + "}"
    raw = text.encode()
    raw += b" " * (-len(raw) % 8)
    claimed = rng.choice((len(raw),) * 12 + (0, len(raw) + 1, 2**20, 2**63))
    return struct.pack("<Q", claimed) + raw + body


def _strange_config(data, rng):
    config = json.loads(data)
    key = rng.choice(list(config))
    config[key] = rng.choice([*NUMBERS, {}, {"": 1}, {"x": []}, float("nan"), 1e300])
    if rng.random() < 0.3:
        del config[rng.choice(list(config))]
    return rng.choice((json.dumps(config).encode(),) * 6 + (b"[" * 50_000, b"[]", b"null", b"\xff\xfe{}"))


def test_500_adapters(tmp_path, adapter, layers, damage, survives):
    kinds = ("kohya", "diffusers", "comfy")
    folder = peft_files(adapter)
    files = [*(written(adapter, kind) for kind in kinds), *folder.values()]
    weights = [*files[:3], folder["adapter_model.safetensors"]]
    config = folder["adapter_config.json"]
    where = files.index(config)
    broken = list(damage(5, files, 250))
    for number in range(200):
        rng = random.Random(number)
        which = rng.randrange(4)
        broken.append((files.index(weights[which]), _lying(weights[which], rng)))
    broken += [(where, _strange_config(config, random.Random(number))) for number in range(50)]
    read = 0
    for index, data in broken:
        if index < 3:
            path = tmp_path / "a.safetensors"
            path.write_bytes(data)
        else:
            path = tmp_path / "folder"
            path.mkdir(exist_ok=True)
            for name, sound in folder.items():
                (path / name).write_bytes(data if sound is files[index] else sound)
            kept = survives(read_peft, path)
            assert kept is None or torch.isfinite(kept.row).all()
        got = survives(read_file, path, layers, "abc123")
        if got is not None:
            read += 1
            assert torch.isfinite(got.adapter.row).all()
            assert {part.name for part in got.adapter.layout.parts} <= set(layers)
    assert len(broken) == 500
    assert 20 < read < 400
