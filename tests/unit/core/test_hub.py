"""Whether the hub can be reached is asked once; only where no connection can be made is the answer no."""

import os
import subprocess
import sys
import time

from coterie.core.hub import hub_is_away, is_id, is_kept

ASKED = """
import http.server, os, threading, time

asked = []

class Busy(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        asked.append(self.path)
        time.sleep(wait)
        self.send_response(503)
        self.end_headers()

    def log_message(self, *words):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
from coterie.core import hub

wait = 0
print("busy", hub.hub_is_away(), len(asked))
wait, hub.TIMEOUT = 1, 0.1
print("slow", hub.hub_is_away(), len(asked))
server.shutdown()
server.server_close()
began = time.monotonic()
print("gone", hub.hub_is_away(), time.monotonic() - began < 3)
"""


def test_a_busy_or_slow_hub_is_left_to_the_libraries_and_one_that_is_gone_is_told_at_once():
    env = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()} | {"HF_HUB_OFFLINE": "0"}
    got = subprocess.run([sys.executable, "-c", ASKED], env=env, capture_output=True, text=True, check=True).stdout
    assert got.splitlines() == ["busy False 1", "slow False 2", "gone True True"]


def test_without_a_network_by_wish_nothing_is_asked():
    began = time.monotonic()
    assert hub_is_away()  # tests set HF_HUB_OFFLINE
    assert time.monotonic() - began < 1


def test_what_is_in_the_cache_and_what_can_be_an_id(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--owner--name"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("c0ffee")
    (model / "snapshots" / "c0ffee").mkdir(parents=True)
    (model / "snapshots" / "c0ffee" / "model_index.json").write_text("{}")
    assert is_kept("owner/name", "model_index.json")
    assert is_kept("owner/name", "model_index.json", "c0ffee")
    assert not is_kept("owner/name", "model_index.json", "other")
    assert not is_kept("owner/other", "model_index.json")
    assert [is_id(text) for text in ("owner/name", "name", "models/my/sdxl", "./name", "/abs/name")] == [
        True, True, False, False, False,
    ]  # fmt: skip
