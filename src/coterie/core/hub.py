"""Whether the Hugging Face hub answers, found out with one question before its libraries ask again and again."""

from __future__ import annotations

import re

TIMEOUT = 10.0  # seconds; a network that is only slow is left to the libraries, which wait longer
UNREACHABLE = ("ConnectError", "ConnectionError", "OfflineModeIsEnabled")


def is_id(text: str) -> bool:
    """Whether a text can be an id of the hub, like ``owner/name``."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", text) is not None


def hub_is_away() -> bool:
    """True only where no connection can be made at all, or the user said so with ``HF_HUB_OFFLINE``.

    The libraries try five times and wait longer before each, which helps where a hub is busy and not where a machine
    has no network. The question goes over their own connection, so that proxies and mirrors count.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return True
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except Exception as error:  # of whichever library sends requests in this version; only their names are alike
        return type(error).__name__ in UNREACHABLE
    return False


def is_kept(model: str, file: str, revision: str = "") -> bool:
    """Whether a file of a model of the hub lies in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(model, file, revision=revision or None), str)
