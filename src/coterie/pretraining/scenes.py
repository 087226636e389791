"""Captioned 32-pixel pictures made from drawings: an object alone on white, or recoloured and placed in a scene.

``draw(sprites, rng)`` is the whole interface. Scenes exist so that the words for colours, places, sizes and sides mean
something to the model; names and shapes come from the objects alone on white.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image, ImageDraw

from coterie.pretraining.sprites import SIDE, Pixels, Sprite

SIZE = 32
SCENE_SHARE = 0.25
COLOURS = {
    "red": (220, 45, 50), "orange": (244, 132, 30), "yellow": (250, 206, 40), "green": (56, 166, 76),
    "blue": (46, 110, 218), "purple": (138, 70, 188), "pink": (246, 128, 176), "brown": (138, 88, 52),
    "gray": (134, 140, 148), "black": (44, 44, 50), "white": (240, 242, 246),
}  # fmt: skip
PLACES = {
    "meadow": ("in a meadow", "on the grass"),
    "snow": ("in the snow", "in winter"),
    "desert": ("in the desert", "on the sand"),
    "sea": ("by the sea", "on the water"),
    "night": ("at night", "under the stars"),
    "city": ("in the city", "in a street"),
    "mountains": ("in the mountains", "near the hills"),
    "room": ("in a room", "on a table"),
    "sunset": ("at sunset", "in the evening sun"),
    "forest": ("in the forest", "among trees"),
}
SIDED_WORDS = ("left", "right", "button", "letter", "clock", "o’clock", "thirty", "input", "arrow", "question")
Rng = np.random.Generator


def draw(sprites: list[Sprite], rng: Rng) -> tuple[Pixels, str]:
    """One picture ``(32, 32, 3)`` and its caption."""
    sprite = sprites[rng.integers(len(sprites))]
    if rng.random() < SCENE_SHARE and sprite.group not in ("symbols", "people-body"):
        return draw_scene(sprite, rng)
    return draw_alone(sprite, rng)


def draw_alone(sprite: Sprite, rng: Rng) -> tuple[Pixels, str]:
    """The object on white, shifted and scaled a little; mirrored unless its name speaks of sides or letters."""
    picture = Image.fromarray(sprite.rgba)
    if rng.random() < 0.5 and not any(word in sprite.name.lower() for word in SIDED_WORDS):
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = SIDE / rng.uniform(0.85, 1.12)
    x, y = (SIDE - side) / 2 + rng.uniform(-4, 4, size=2)
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    canvas.paste(picture, mask=picture.getchannel("A"))
    out = canvas.transform(
        (2 * SIZE, 2 * SIZE),
        Image.Transform.EXTENT,
        (x, y, x + side, y + side),
        Image.Resampling.BICUBIC,
        fillcolor="white",
    )
    return np.asarray(out.reduce(2), dtype=np.uint8), _name_caption(sprite, rng)


def draw_scene(sprite: Sprite, rng: Rng) -> tuple[Pixels, str]:
    """The object in a colour, a place, a size and on a side, each said in the caption or left to chance."""
    colour = str(rng.choice(list(COLOURS))) if rng.random() < 0.7 else None
    place = str(rng.choice(list(PLACES))) if rng.random() < 0.75 else None
    size = str(rng.choice(["small", "big"])) if rng.random() < 0.3 else None
    side = str(rng.choice(["left", "right"])) if size != "big" and rng.random() < 0.3 else None
    canvas = _background(place, rng)
    rgba = recolour(sprite.rgba, colour) if colour else sprite.rgba
    scale = {"small": 0.42, "big": 0.95, None: 0.68}[size] * rng.uniform(0.94, 1.06)
    n = int(SIDE * scale)
    picture = Image.fromarray(rgba).resize((n, n), Image.Resampling.LANCZOS)
    centre = {"left": 0.29, "right": 0.71, None: 0.5}[side] + rng.uniform(-0.03, 0.03)
    x = int(SIDE * centre - n / 2)
    y = int(SIDE * (0.52 if place is None or size == "big" else 0.60) - n / 2 + rng.integers(-2, 3))
    canvas.paste(picture, (x, y), picture.getchannel("A"))
    words = [size, colour, sprite.name, str(rng.choice(PLACES[place])) if place else None]
    if side:
        words.append(f"on the {side}")
    caption = " ".join(word for word in words if word)
    return np.asarray(canvas.reduce(2), dtype=np.uint8), f"a {caption}" if rng.random() < 0.7 else caption


def recolour(rgba: Pixels, colour: str) -> Pixels:
    """The drawing with its dominant hue moved to a named colour; shading and the other hues stay."""
    rgb, alpha = rgba[..., :3].astype(np.float32), rgba[..., 3]
    hsv = np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV"), dtype=np.int32)
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    solid = alpha > 127
    vivid = solid & (saturation > 60) & (value > 40)
    if vivid.sum() > 0.2 * solid.sum():
        histogram = np.bincount(hue[vivid] // 16, minlength=16)
        peak = int(histogram.argmax()) * 16 + 8
        chosen = vivid & (np.abs((hue - peak + 128) % 256 - 128) < 28)
    else:  # a gray drawing: everything between black and white takes the colour
        chosen = solid & (value > 50) & (value < 250)
    if not chosen.any():
        chosen = solid
    light = rgb @ np.array([0.3, 0.59, 0.11], np.float32)
    shade = (light / max(float(np.median(light[chosen])), 30.0))[..., None]
    target = np.array(COLOURS[colour], np.float32)
    tinted = np.where(shade <= 1, target * shade, target + (255 - target) * np.clip((shade - 1) * 0.6, 0, 0.6))
    out = np.where(chosen[..., None], tinted, rgb)
    return np.dstack([out.clip(0, 255).astype(np.uint8), alpha])


def _name_caption(sprite: Sprite, rng: Rng) -> str:
    kind = rng.random()
    if kind < 0.6:
        return sprite.name
    if kind < 0.85 or not sprite.tags:
        return f"a {sprite.name}"
    return f"{sprite.name}, {sprite.tags[rng.integers(len(sprite.tags))]}"


def _background(place: str | None, rng: Rng) -> Image.Image:
    """A simple place at 64 pixels: a sky that fades, a ground, and what makes the place known."""
    if place is None:
        return Image.new("RGB", (SIDE, SIDE), "white")
    sky = {
        "meadow": ((120, 196, 246), (206, 236, 252)), "snow": ((176, 202, 226), (226, 236, 246)),
        "desert": ((250, 212, 140), (252, 234, 190)), "sea": ((148, 210, 246), (214, 238, 250)),
        "night": ((12, 16, 54), (44, 48, 106)), "city": ((190, 210, 230), (236, 228, 220)),
        "mountains": ((150, 200, 236), (226, 236, 242)), "room": ((240, 218, 188), (232, 206, 174)),
        "sunset": ((242, 104, 92), (254, 208, 122)), "forest": ((150, 200, 160), (206, 230, 196)),
    }[place]  # fmt: skip
    ground = {
        "meadow": (104, 182, 78), "snow": (248, 250, 254), "desert": (222, 166, 94), "sea": (40, 124, 194),
        "night": (30, 42, 66), "city": (92, 96, 108), "mountains": (120, 166, 96), "room": (168, 112, 70),
        "sunset": (110, 56, 102), "forest": (72, 120, 62),
    }[place]  # fmt: skip
    fade = np.linspace(0, 1, SIDE)[:, None, None]
    top, bottom = (np.array(_jitter(colour, rng)) for colour in sky)
    column = (top * (1 - fade) + bottom * fade).astype(np.uint8)
    picture = Image.fromarray(column.repeat(SIDE, axis=1))
    pen = ImageDraw.Draw(picture)
    horizon = int(SIDE * rng.uniform(0.60, 0.70))
    _landmarks(place, pen, horizon, rng)
    ground = _jitter(ground, rng)
    if place in ("meadow", "snow", "desert"):
        bump = int(rng.integers(-30, 30))
        pen.ellipse([-40 + bump, horizon - 3, 104 + bump, horizon + 80], fill=ground)
    else:
        pen.rectangle([0, horizon, SIDE, SIDE], fill=ground)
    if place == "sea":
        for y in range(horizon + 4, SIDE, 7):
            pen.line([int(rng.integers(0, 30)), y, int(rng.integers(34, SIDE)), y], fill=(140, 200, 236), width=1)
    if place == "snow":
        for _ in range(10):
            x, y = (int(v) for v in rng.integers(0, SIDE, size=2))
            pen.ellipse([x - 1, y - 1, x + 1, y + 1], fill=(255, 255, 255))
    return picture


def _landmarks(place: str, pen: ImageDraw.ImageDraw, horizon: int, rng: Rng) -> None:
    x = int(rng.uniform(8, 56))
    if place == "desert":
        pen.ellipse([x - 6, 4, x + 6, 16], fill=(255, 246, 214))
    elif place == "night":
        pen.ellipse([x - 6, 4, x + 6, 16], fill=(250, 240, 196))
        for _ in range(9):
            a, b = int(rng.integers(0, SIDE)), int(rng.integers(0, horizon))
            pen.ellipse([a - 1, b - 1, a, b], fill=(255, 252, 220))
    elif place == "sunset":
        pen.ellipse([x - 12, horizon - 16, x + 12, horizon + 8], fill=(255, 236, 150))
    elif place == "city":
        left = -3
        while left < SIDE:
            width, height = int(rng.integers(7, 12)), int(rng.integers(14, 36))
            pen.rectangle([left, horizon - height, left + width, horizon], fill=_jitter((116, 126, 150), rng, 16))
            for y in range(horizon - height + 3, horizon - 3, 5):
                pen.point([(left + 3, y), (left + width - 3, y)], fill=(250, 226, 150))
            left += width + 1
    elif place == "mountains":
        for k in range(3):
            peak, height, width = 10 + 22 * k + int(rng.integers(-5, 5)), int(rng.integers(20, 34)), 20
            pen.polygon(
                [(peak - width, horizon), (peak, horizon - height), (peak + width, horizon)], fill=(110, 122, 150)
            )
            pen.polygon(
                [(peak - 5, horizon - height + 8), (peak, horizon - height), (peak + 5, horizon - height + 8)],
                fill="white",
            )
    elif place == "room":
        window = int(rng.choice([5, 40]))
        pen.rectangle([window, 6, window + 18, 24], fill=(176, 220, 244), outline="white", width=2)
    elif place == "forest":
        for k in range(5):
            trunk = 6 + 13 * k + int(rng.integers(-3, 4))
            pen.rectangle([trunk - 1, horizon - 18, trunk + 1, horizon], fill=(104, 74, 48))
            pen.polygon(
                [(trunk - 8, horizon - 8), (trunk, horizon - 34), (trunk + 8, horizon - 8)],
                fill=_jitter((54, 128, 66), rng, 14),
            )
    elif place == "meadow":
        pen.ellipse([x - 8, 5, x + 8, 12], fill="white")


def _jitter(colour: tuple[int, ...], rng: Rng, amount: int = 8) -> tuple[int, int, int]:
    moved = np.clip(np.array(colour) + rng.integers(-amount, amount + 1, size=3), 0, 255)
    return cast(tuple[int, int, int], tuple(int(v) for v in moved))
