"""The picture in the README, from a finished run: some people's own pictures, and what is drawn before and after."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCALE, GAP, WIDE, TOP, SIDE, LEFT = 3, 4, 26, 40, 32, 86


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--people", nargs="+", default=["lena", "hana", "kai", "juno"])
    parser.add_argument("--columns", type=int, default=5)
    options = parser.parse_args()
    blocks = [
        ("some of their own", lambda p: options.run / "sites" / p / "pictures" / "own", 3),
        ("before", lambda p: options.run / "server" / "pictures" / "base", options.columns),
        ("after, with their own adapter", lambda p: options.run / "sites" / p / "pictures" / "final", options.columns),
    ]
    cell = SIDE * SCALE + GAP
    width = LEFT + sum(n * cell for _, _, n in blocks) + (len(blocks) - 1) * WIDE + GAP
    page = Image.new("RGB", (width, TOP + len(options.people) * (cell + 6) + GAP), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(20)
    for row, person in enumerate(options.people):
        y = TOP + row * (cell + 6)
        pen.text((8, y + cell // 2 - 14), person, fill="#333", font=font)
        x = LEFT
        for title, folder, count in blocks:
            if row == 0:
                pen.text((x, 8), title, fill="#555", font=font)
            for i in range(count):
                with Image.open(folder(person) / f"{i:02d}.png") as picture:
                    big = np.asarray(picture.convert("RGB")).repeat(SCALE, 0).repeat(SCALE, 1)
                page.paste(Image.fromarray(big), (x, y))
                x += cell
            x += WIDE
    options.out.parent.mkdir(parents=True, exist_ok=True)
    page.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
