"""What the servers of both pages share: sending a page and its files, and reading requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.responses import Response

from latentedit.io.html import asset

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Host names that only this computer can reach."""


def send_page(package: str, name: str, policy: str) -> Response:
    """Send a page, which is an asset of a package, with a content security policy."""
    headers = {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return Response(_asset(package, name), media_type="text/html", headers=headers)


def send_asset(package: str, name: str, types: Mapping[str, str]) -> Response:
    """Send a file of a page, or 404 if it is not in `types`, which has the media type by name."""
    if name not in types:
        return Response("not here", status_code=404, media_type="text/plain")
    headers = {"cache-control": "no-cache"}
    return Response(_asset(package, name), media_type=types[name], headers=headers)


@cache
def _asset(package: str, name: str) -> str:
    return asset(package, name)


def asked_json(body: bytes) -> dict[str, Any]:
    """Return a request's JSON object; for any other body, an empty one."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}
