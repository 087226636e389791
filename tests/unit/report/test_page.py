"""The page, made from folders that a test wrote (a fixture, not a result)."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
import tomli_w
from PIL import Image

from coterie.core.errors import UserError
from coterie.report import make_report
from coterie.report.figures import HEIGHT, WIDTH, strip, wish_map

EVIL = '<img src=x onerror="alert(1)">'


def write_run(path, clients=("ada", "bo", EVIL), clusters=True, finished=True, form="clustered"):
    server = path / "server"
    server.mkdir(parents=True)
    recipe = {
        "name": "fixture", "rounds": 1, "seed": 0, "backbone": {"name": "doodle"}, "codec": {"name": "cast"},
        "form": {"name": form, "fit": {"steps": 2}, "keeping": {"name": "ditto"}, "grouping": {"floor": 0.12}},
        "engine": {"dtype": "fp32", "width": 2, "tokens": 24, "workers": 0}, "method": {"rank": 8, "targets": "all"},
        "data": {"wish": "named"}, "pictures": {"prompts": ["cat", "dog"]},
    }  # fmt: skip
    (server / "recipe.toml").write_text(tomli_w.dumps(recipe))
    (server / "journal.jsonl").write_text('{"event": "resumed", "round": 1}\n{"event": "cut')
    if not finished:
        return path
    rng = np.random.default_rng(0)
    labels = {c: f"cluster-{i % 2}" for i, c in enumerate(clients)} if clusters else {}
    history = [
        {
            "round": r, "client": c, "test": t, "adapter": "served" if r else "base", "loss": 0.4 - 0.1 * r,
            "levels": [0.4] * 4,
        }
        for c in clients for r in (0, 1) for t in ("own", "style")
    ]  # fmt: skip
    final = [
        {"round": 1, "client": c, "test": "own", "adapter": a, "loss": 0.3, "levels": [0.3] * 4}
        for c in clients for a in ("served", "personal")
    ]  # fmt: skip
    results = {
        "clients": {c: {"examples": 12, "truth": "neon"} for c in clients}, "clusters": labels, "numbers": {},
        "wishes": {c: rng.standard_normal(8).tolist() for c in clients} if clusters else {}, "history": history,
        "final": final, "personal": dict.fromkeys(clients, "abc"), "failures": {}, "seconds": 3.0, "form": form,
        "copies": {c: {"pictures": 8, "copies": 1, "expected": 1 / 9} for c in clients}, "recipe": "d1g3st",
        "other_wishes": {"named": {"ari": 1.0, "clusters": 2, "silhouette": 0.3}} if clusters else {},
        "bytes": [[1, c, d, "memory", "train", False, 1000, 1] for c in clients for d in ("up", "down")],
        "backbone_parameters": 4_000_000, "adapter_parameters": 290_288, "backbone_digest": "b4ckb0ne",
    }  # fmt: skip
    (server / "results.json").write_text(json.dumps(results))
    names = ["base", *sorted(set(labels.values()) or {"global"})]
    folders = [server / "pictures" / n for n in names]
    if clusters:
        folders += [server / "pictures" / "hybrid" / "cluster-0+cluster-1" / w for w in ("75", "50", "25")]
    folders += [path / "sites" / c.replace("/", "_") / "pictures" / k for c in clients[:2] for k in ("own", "final")]
    for folder in folders:
        folder.mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return path


@pytest.fixture
def page(tmp_path):
    def make(control=False, **more):
        run = write_run(tmp_path / "run", **more)
        if control:
            write_run(run / "control", clusters=False, form="fedavg")
        return make_report(run).read_text()

    return make


SECTIONS = ("people", "near", "hybrids", "curves", "left", "numbers", "limits", "again")


def test_every_section_is_there_and_nothing_is_loaded_from_anywhere(page):
    html = page(control=True)
    for section in SECTIONS:
        assert f'<h2 id="{section}"' in html
    assert "A simulation" in html
    assert "Went wrong" in html
    assert "went on after round 1" in html
    bare = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!data:)(?:https?:|//|[\w./]+\.(?:js|css|png))', bare)


def test_the_policy_allows_these_scripts_and_styles_and_no_others(page):
    html = page()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'")
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert 'style="' not in html


def test_a_hostile_name_is_only_text(page):
    html = page(control=True)
    assert EVIL not in html
    assert "&lt;img src=x" in html
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.S)
    assert "<" not in data
    assert EVIL in json.dumps(json.loads(data)).replace('\\"', '"')


@pytest.mark.parametrize(
    "more", [{"clusters": False, "form": "fedavg"}, {"clusters": False, "form": "local"}, {"finished": False}]
)
def test_what_is_missing_is_left_out(page, more):
    html = page(**more)
    assert '<h2 id="near"' not in html
    assert '<h2 id="again"' in html
    if "finished" in more:
        assert "not finished yet" in html


def test_a_folder_that_cannot_be_read_is_told(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "server" / "results.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        make_report(run)


def test_the_map_keeps_marks_apart_and_inside_and_repeats():
    rng = np.random.default_rng(0)
    wishes = {f"person-{i}": v for i, v in enumerate(rng.standard_normal((12, 16)))}
    wishes = {name: (v / np.linalg.norm(v)).tolist() for name, v in wishes.items()}
    wishes["twin"] = wishes["person-3"]
    marks = wish_map(wishes, dict.fromkeys(wishes, 0))
    assert marks == wish_map(dict(reversed(wishes.items())), dict.fromkeys(wishes, 0))
    assert all(0 <= m.x <= WIDTH and 0 <= m.y <= HEIGHT for m in marks)
    gaps = [np.hypot(a.x - b.x, a.y - b.y) for a in marks for b in marks if a.name < b.name]
    assert min(gaps) > 15


def test_a_strip_holds_its_pictures_exactly():
    import io

    pictures = [np.full((4, 4, 3), v, np.uint8) for v in (0, 100, 255)]
    made = strip(pictures)
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(made["url"].split(",")[1]))).convert("RGBA"))
    assert image.shape == (4, made["width"], 4)
    assert [int(image[0, x, 0]) for x in (0, 6, 12)] == [0, 100, 255]
