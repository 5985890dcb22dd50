"""The page as a Gradio app, and its server. Everything that is decided is decided in `studio`."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, TypeVar

import gradio as gr
from anyio import CapacityLimiter, to_thread
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from latentedit.demo.comparison import draw
from latentedit.demo.controls import Control
from latentedit.demo.portrait_check import MAX_PHOTO_BYTES, build_portrait_check, check_photo
from latentedit.demo.recipes import MAX_UPLOAD_BYTES
from latentedit.demo.session import Session
from latentedit.demo.studio import Reply, Studio
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError
from latentedit.io.files import reason
from latentedit.io.html import asset, render
from latentedit.portrait.assessor import PortraitAssessor

MAX_BODY = MAX_PHOTO_BYTES + 1_000_000
"""Bytes of a request's body; uploaded files come in base64, and a photo is the largest."""

CLOSED = ("/upload", "/file=", "/file/", "/proxy=", "/component_server", "/stream", "/deep_link")
"""Gradio's routes that read or write files, or fetch from elsewhere: the page uses none."""

AT_ONCE: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
"""Of every event: the answer comes in the reply to the request, not by an event stream."""

Answer = TypeVar("Answer")

FONT = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]


def build(studio: Studio) -> gr.Blocks:
    """Return the page of one model; each visitor gets a session of their own.

    Requests are answered one at a time, in the order in which they came: each has all cores.
    """
    turns = CapacityLimiter(1)

    def act(session: Session, request: Any) -> tuple[Session, Reply]:
        started = time.perf_counter()
        try:
            session, reply = studio.act(session, request)
        except Exception:  # the user's work stays; the reason is for the terminal
            logging.getLogger(__name__).exception("a request of the page failed")
            reply = {"message": "Something went wrong here, and nothing was changed."}
        serial = request.get("serial") if isinstance(request, dict) else None
        return session, {
            **reply,
            "reply": True,
            "serial": serial if type(serial) is int else None,
            "milliseconds": round((time.perf_counter() - started) * 1000, 1),
        }

    def start() -> tuple[Session, Reply]:
        return act(studio.new_session(), {"do": "start"})

    with gr.Blocks(title="latentedit", analytics_enabled=False, fill_width=True) as blocks:
        session = gr.State(studio.new_session())
        gr.HTML(
            asset(__package__, "top.html"),
            js_on_load=asset(__package__, "top.js"),
            apply_default_css=False,
        )
        with gr.Tabs():
            with gr.Tab("Edit"):
                page = gr.HTML(
                    html_template=asset(__package__, "page.html"),
                    js_on_load=asset(__package__, "page.js"),
                    apply_default_css=False,
                )
            with gr.Tab("Compare") as compare_tab:
                _build_comparison(studio, session, compare_tab, turns)
            with gr.Tab("Portrait check"):
                check = partial(check_photo, PortraitAssessor.load())
                build_portrait_check(_in_turn(turns, check), **AT_ONCE)
        page.act(
            _in_turn(turns, act),
            [session, page],
            [session, page],
            api_name="act",
            trigger_mode="multiple",  # page.js drops what is stale
            **AT_ONCE,
        )
        blocks.load(_in_turn(turns, start), None, [session, page], api_name="start", **AT_ONCE)
    return blocks


def _in_turn(
    turns: CapacityLimiter, answer: Callable[..., Answer]
) -> Callable[..., Awaitable[Answer]]:
    """The same function, in a thread, once it has a turn."""

    @wraps(answer)
    async def wait(*args: Any) -> Answer:
        return await to_thread.run_sync(answer, *args, limiter=turns)

    return wait


def _build_comparison(
    studio: Studio, session: gr.State, tab: gr.Tab, turns: CapacityLimiter
) -> None:
    """One attribute, the same step, with no holds and with automatic ones."""
    controls = studio.controls
    first = "Young" if "Young" in controls else next(iter(controls))

    def amount(name: str) -> gr.Slider:
        control = controls[name]
        low, high = _ends(control)
        return gr.Slider(
            low,
            high,
            value=round(0.7 * high, 2) or low,
            step=0.05,
            label="How far",
            info=f"left: {control.left}, right: {control.right}",
            interactive=True,
        )

    def compare(session: Session, name: Any, value: Any) -> str:
        try:
            flipped = name in controls and controls[name].flipped
            step = -value if flipped and isinstance(value, int | float) else value
            seed = session.view.seed
            return draw(seed, *studio.compare(seed, name, step))
        except LatentEditError as error:
            return render(__package__, "message.html.jinja", message=error)

    gr.Markdown(
        "The same face and the same step twice: once with nothing held, once with the holds that "
        "are stored with the model. Pick the face in the tab Edit."
    )
    with gr.Row():
        choices = [(control.label, name) for name, control in controls.items()]
        attribute = gr.Dropdown(choices, value=first, label="What moves")
        how_far = amount(first)
    result = gr.HTML(apply_default_css=False)
    options: dict[str, Any] = {
        "fn": _in_turn(turns, compare),
        "inputs": [session, attribute, how_far],
        "outputs": result,
        "trigger_mode": "always_last",
        "api_visibility": "private",
        **AT_ONCE,
    }
    tab.select(**options)
    how_far.change(**options)
    attribute.change(amount, attribute, how_far, api_visibility="private", **AT_ONCE).then(
        **options
    )


def _ends(control: Control) -> tuple[float, float]:
    """Values at the left and right end of a slider."""
    return (-control.high, -control.low) if control.flipped else (control.low, control.high)


def _theme() -> gr.themes.Base:
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        font=FONT,
        font_mono=[gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")],
    )
    return theme.set(
        body_background_fill="#f6f4f1",
        body_background_fill_dark="#141312",
        body_text_color_subdued="#6b645c",
        body_text_color_subdued_dark="#b3aca4",
        block_background_fill="#ffffff",
        block_background_fill_dark="#201e1c",
        background_fill_secondary="#efece7",
        background_fill_secondary_dark="#2b2825",
        border_color_primary="#e0dbd3",
        border_color_primary_dark="#3b3733",
        color_accent="#0f766e",
        color_accent_soft="#e2f2ef",
        color_accent_soft_dark="#173532",
    )


class Gate:
    """Refuses requests that no page of ours makes: large bodies, and routes for files.

    Pictures and recipes travel inside requests and replies and never lie on the server's disk, so
    nobody can ask for another's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix("/gradio_api")
        if path.startswith(CLOSED):
            await PlainTextResponse("not here", status_code=403)(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MAX_BODY:
            await PlainTextResponse("too large", status_code=413)(scope, receive, send)
            return
        left = MAX_BODY

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                return {"type": "http.disconnect"}
            return message

        await self.app(scope, counted, send)


def _reach_directly(host: str) -> None:
    """Keep this process from asking a proxy for its own page, as Gradio does when it starts."""
    names = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""]
    names += [name for name in ("127.0.0.1", "localhost", host) if name not in names[0].split(",")]
    os.environ["no_proxy"] = ",".join(filter(None, dict.fromkeys(names)))


def _check_address(host: str, port: int | None) -> None:
    """Refuse what cannot be listened on before Gradio tries one port after another.

    Raises:
        LatentEditError: no address of this machine, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port or 0, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            if os.name == "posix":  # as the server does: a port that was just left is free
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        advice = "give another --port" if taken else "give an address of this machine as --host"
        raise LatentEditError(f"cannot listen on {host}: {reason(error)}; {advice}") from None


def serve(
    editor: FaceEditor,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    open_browser: bool = False,
    wait: bool = True,
) -> gr.Blocks:
    """Serve the page.

    Args:
        editor: with classifier and boundaries.
        host: the address to listen on; by default this machine alone can reach it.
        port: by default the first free one from 7860.
        share: also open a public link through Gradio's servers.
        open_browser: show the page.
        wait: until Ctrl-C; otherwise return at once (`blocks.close()` ends it).

    Raises:
        LatentEditError: a model without classifier or boundaries, or the port is taken.
    """
    os.environ.pop("GRADIO_ALLOWED_PATHS", None)  # would open folders of this machine to visitors
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"  # else a table is made at each
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"  # request, of all requests so far
    _reach_directly(host)
    _check_address(host, port)
    blocks = build(Studio(editor))
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            share=share,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            theme=_theme(),
            head=f"<style>{asset(__package__, 'page.css')}</style>",  # css= rewrites selectors
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            allowed_paths=[],
            max_file_size=MAX_UPLOAD_BYTES,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            app_kwargs={"middleware": [Middleware(Gate)]},
        )
    except OSError as error:
        raise LatentEditError(f"cannot listen on {host}: {error}; give another --port") from None
    except ValueError:  # what Gradio makes of no answer within seconds
        blocks.close()
        raise LatentEditError(
            f"the page does not answer on {host}: try again when this machine is less busy"
        ) from None
    if wait:
        print(f"The page is at {blocks.local_url}; Ctrl-C ends it.", flush=True)
        if blocks.share_url:
            print(f"Everyone can reach it at {blocks.share_url}", flush=True)
        blocks.block_thread()
    return blocks
