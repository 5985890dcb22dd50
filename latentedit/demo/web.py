"""What the servers of both pages share: how a page and its files are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.responses import Response

from latentedit.io.html import asset

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses that this machine alone can reach."""


def send_page(package: str, name: str, policy: str) -> Response:
    """A page itself: an asset of a package, under a content security policy."""
    headers = {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return Response(_asset(package, name), media_type="text/html", headers=headers)


def send_asset(package: str, name: str, types: Mapping[str, str]) -> Response:
    """A file that belongs to a page, if it is one of `types`, which has their media types."""
    if name not in types:
        return Response("not here", status_code=404, media_type="text/plain")
    headers = {"cache-control": "no-cache"}
    return Response(_asset(package, name), media_type=types[name], headers=headers)


@cache
def _asset(package: str, name: str) -> str:
    return asset(package, name)


def asked_json(body: bytes) -> dict[str, Any]:
    """A request's JSON; anything else is a request for nothing."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}
