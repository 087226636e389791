"""A few of the studio's pictures, so that a run which is begun many times reads and scores little each time."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

TRAIN, HELD_OUT = 3, 2


@functools.cache
def few(wishes: bool = False) -> str:
    """A setting: the source with three pictures of each of the twelve people to learn from and two held out.

    Args:
        wishes: whether people have any; who gets pictures of several has the first of their wishes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from coterie.data.sources.studio import population

    rows = []
    for person, data in population().clients.items():
        said = {f"wish_{kind}": text for kind, text in data.wishes.items()} if wishes else {}
        for table, count in ((data.train, TRAIN), (data.held_out, HELD_OUT)):
            for i in range(count):
                picture = {"bytes": _png(Image.fromarray(table.pixels[i])), "path": f"{person}-{len(rows)}.png"}
                about = {"person": person, "style": data.style, "subject": table.columns["subject"][i]}
                rows.append({"image": picture, "caption": table.captions[i], **about, **said})
    folder = Path(tempfile.mkdtemp(prefix="few-"))
    atexit.register(shutil.rmtree, folder, True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "few.parquet")
    return f"data.source={{name='parquet',path='{folder / 'few.parquet'}'}}"


def _png(picture) -> bytes:
    from io import BytesIO

    file = BytesIO()
    picture.save(file, "png")
    return file.getvalue()
