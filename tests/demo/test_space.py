"""The Space's folder: its app serves the page, and its card is what the Hub reads."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from page_needs import give_up, lacking

if why := lacking(browser=False):
    give_up(why)

import httpx
import yaml

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "demo" / "space"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_the_app_serves_the_page(tiny_bundle: Path) -> None:
    spec = importlib.util.spec_from_file_location("space_app", SPACE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    assert (app.HOST, app.PORT) == ("0.0.0.0", 7860)
    blocks = app.build(str(tiny_bundle), host="127.0.0.1", port=None)
    try:
        answer = httpx.get(f"http://127.0.0.1:{blocks.server_port}/", trust_env=False)
    finally:
        blocks.close()
    assert answer.status_code == 200
    assert "<html" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.endswith("frame-ancestors 'self' https://huggingface.co")


def test_the_card_names_what_is_there() -> None:
    _, front, text = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card = yaml.safe_load(front)
    assert card["sdk"] == "gradio"
    (gradio,) = (Requirement(line) for line in EXTRAS["demo"] if line.startswith("gradio"))
    assert gradio.specifier.contains(card["sdk_version"])
    assert (SPACE / card["app_file"]).is_file()
    assert len(card["short_description"]) <= 60, "the Hub refuses longer ones"
    assert text.strip()


def test_what_is_installed_there() -> None:
    lines = (SPACE / "requirements.txt").read_text().splitlines()
    (wanted,) = (Requirement(line) for line in lines if line and line[0] not in "#-")
    assert wanted.name == "latentedit"
    assert {"demo"} <= wanted.extras <= set(EXTRAS)
