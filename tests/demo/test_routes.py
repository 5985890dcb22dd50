"""The page's routes: a visitor's photo from upload to download, and all that is refused."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from photo_models import draw_photo, write_bundle
from PIL import Image, ImageCms
from starlette.applications import Starlette
from starlette.testclient import TestClient

from latentedit.classifiers.portrait import PortraitConfig, PortraitNetwork
from latentedit.demo import routes, sitters
from latentedit.demo.models import Choice, Studios
from latentedit.demo.replies import Picture
from latentedit.demo.routes import MAX_REQUEST, Desk
from latentedit.demo.studio import REHEARSED, Studio
from latentedit.demo.takeaways import take
from latentedit.editing.editor import FaceEditor
from latentedit.editing.photos import PhotoEditor
from latentedit.photos.marks import COMPOSITE
from latentedit.photos.photograph import read_marks
from latentedit.portrait.assessor import PortraitAssessor

STEPS, REDRAWN = 4, (2, 4)


@pytest.fixture(scope="module", autouse=True)
def _small_and_short() -> Iterator[None]:
    """Refining is as long as a test can wait, and photos need not be large to be made smaller."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sitters, "REFINING_STEPS", STEPS)
        patch.setattr(sitters, "REDRAWN_AT", REDRAWN)
        patch.setattr(sitters, "SHOWN_EDGE", 256)
        patch.setattr(sitters, "PREVIEW_EDGE", 128)
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = write_bundle(tmp_path_factory.mktemp("photos") / "tiny")
    photos = PhotoEditor.load(folder, device="cpu")
    torch.manual_seed(0)
    network = PortraitNetwork(PortraitConfig(stem=4, widths=(8, 8), blocks=(1, 1)))
    assessor = PortraitAssessor(network)
    return Desk(Studios(Studio(photos.editor, photos, assessor)), assessor)


@pytest.fixture(scope="module")
def plain(_bundle: Path) -> Desk:
    """Of a model that takes no photos."""
    return Desk(Studios(Studio(FaceEditor.load(_bundle, device="cpu"))), None)


FAR = Choice("far", None, True, "f" * 16, "latentedit models pull far", 38)


@pytest.fixture
def several(desk: Desk, plain: Desk) -> Desk:
    """It begins with a model that takes no photos; one that does can be chosen, one is not here."""
    shots = desk.studios.first
    choice = Choice("shots", 64, True, shots.editor.generator_hash)
    studios = Studios(plain.studios.first, lambda: [choice, FAR], lambda _: shots)
    return Desk(studios, None)


class Page:
    """Makes the page's requests."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.client = TestClient(Starlette(routes=desk.routes()))
        self.token = ""
        self.started = self.post("start", {})
        self.token = self.started["token"]

    def ask(self, path: str, body: Any, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"x-visitor": self.token, **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.client.post(f"/latentedit/{path}", content=content, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> dict[str, Any]:
        answer = self.ask(path, body, **headers)
        if answer.headers["content-type"] == "application/json":
            return {
                **answer.json(),
                "status": answer.status_code,
                "refused": routes.REFUSED in answer.headers,
            }
        length = int.from_bytes(answer.content[:4], "little")
        pictures = answer.content[4 + length :]

        def found(value: dict[str, Any]) -> Any:
            if "at" not in value:
                return value
            content = pictures[value["at"] : value["at"] + value["length"]]
            return Picture(content, value["type"])

        reply: dict[str, Any] = json.loads(answer.content[4 : 4 + length], object_hook=found)
        return reply

    def act(self, do: str, **request: Any) -> dict[str, Any]:
        return self.post("act", {"do": do, **request})

    def move(self, **steps: float) -> dict[str, Any]:
        return self.act("move", steps=steps)


@pytest.fixture
def page(desk: Desk) -> Page:
    return Page(desk)


def jpeg(faces: int = 1, zoom: int = 1, **options: Any) -> bytes:
    photo = Image.fromarray(draw_photo(faces))
    buffer = io.BytesIO()
    photo.resize((photo.width * zoom, photo.height * zoom)).save(
        buffer, "JPEG", quality=92, **options
    )
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo() -> bytes:
    return jpeg(zoom=2)  # larger than the page shows


def pixels(picture: Picture) -> Any:
    return np.array(Image.open(io.BytesIO(picture.content)))


def refine(page: Page) -> list[bool]:
    """Do the background's work to its end; whether each slice left nothing behind."""
    visitor = page.desk.visitors.find(page.token)
    assert visitor is not None
    assert visitor.session.sitter is not None
    return list(visitor.session.sitter.working)


# ---- the page


def test_the_page_brings_all_that_it_names_and_nothing_of_others(page: Page) -> None:
    answer = page.client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "latent" not in answer.text.replace("latentedit", "").replace('"latent"', "").lower()
    for name in routes.ASSETS:
        found = page.client.get(f"/latentedit/{name}")
        assert found.status_code == 200
        assert "http" not in found.text.replace("http://www.w3.org/2000/svg", "")
    for name in ("page.html", "../server.py", "%2e%2e/server.py", "compare.html.jinja"):
        assert page.client.get(f"/latentedit/{name}").status_code == 404


def test_a_reload_goes_on_and_a_stranger_begins(page: Page, desk: Desk) -> None:
    moved = page.move(Young=-2.0)
    again = page.post("start", {})
    assert (again["known"], again["edited"]) == (True, moved["edited"])
    assert again["view"]["steps"] == {"Young": -2.0}
    page.ask("goodbye", page.token.encode())
    assert page.act("undo")["view"]["steps"] == {}  # it came back
    assert Page(desk).started["view"]["steps"] == {}


def test_whoever_was_forgotten_is_told(page: Page) -> None:
    page.token = "somebody else"
    answer = page.ask("act", {"do": "undo"})
    assert answer.status_code == 410
    assert "anew" in answer.json()["message"]
    assert answer.json()["gone"]


# ---- a photo's way


def test_a_photo_is_edited_and_comes_back_whole(page: Page, photo: bytes) -> None:
    opened = page.post("file", photo, x_name="caf%C3%A9.jpg")
    assert opened["face"]["kind"] == "photo"
    assert opened["face"]["name"] == "café.jpg"
    assert opened["edited"] == opened["original"]
    assert pixels(opened["original"]).shape == (256, 256, 3)
    moved = page.move(Smiling=2.0)
    assert moved["edited"] != moved["original"]
    preview = page.act("move", steps={"Smiling": 2.0}, preview=True)
    assert pixels(preview["edited"]).shape == (128, 128, 3)
    answer = page.ask("take", {"what": "jpeg"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert unquote(answer.headers["content-disposition"]).endswith("café-edited.jpg")
    with Image.open(io.BytesIO(answer.content)) as whole:
        assert whole.size == (600, 600)
    marks = read_marks(answer.content)
    assert marks.source_type == COMPOSITE
    (edit,) = json.loads(marks.recipe or "")["edits"]
    assert (edit["steps"], edit["seeds"], edit["face"]) == ({"Smiling": 2.0}, None, 1)
    for what, start in (("picture", b"\x89PNG"), ("strip", b"\x89PNG"), ("animation", b"GIF")):
        assert page.ask("take", {"what": what}).content.startswith(start)
    assert page.ask("take", {"what": "latent"}).status_code == 200
    assert page.act("undo")["edited"] == opened["original"]


def test_an_edited_photo_asks_for_the_photo_and_goes_on(
    page: Page, desk: Desk, photo: bytes
) -> None:
    page.post("file", photo, x_name="me.jpg")
    page.act("move", steps={"Smiling": 1.5}, locks=["Male"])
    edited = page.ask("take", {"what": "jpeg"}).content
    recipe = page.ask("take", {"what": "recipe"}).content
    for saved in (edited, recipe):
        other = Page(desk)
        asked = other.post("file", saved, x_name="me-edited.jpg")
        assert "me.jpg" in asked["message"]
        opened = other.post("file", photo, x_name="me.jpg")
        assert opened["view"]["steps"] == {"Smiling": 1.5}
        assert opened["view"]["locks"] == ["Male"]
        assert "back on this photo" in opened["message"]
    twice = Page(desk)
    twice.post("file", edited, x_name="me-edited.jpg")
    again = twice.post("file", edited, x_name="me-edited.jpg")  # the file itself is a photo
    assert (again["face"]["kind"], again["view"]["steps"]) == ("photo", {})
    copy = twice.ask("take", {"what": "jpeg"}).content  # nothing moved, but it was edited before
    assert read_marks(copy) == read_marks(edited)


def test_an_edit_of_a_face_that_is_not_there_goes_to_the_one_that_is(
    page: Page, photo: bytes
) -> None:
    page.post("file", photo, x_name="me.jpg")
    page.act("move", steps={"Smiling": 1.5})
    values = json.loads(page.ask("take", {"what": "recipe"}).content)
    values["edits"][0]["face"] = 3
    page.post("file", json.dumps(values).encode())
    opened = page.post("file", photo, x_name="me.jpg")
    assert (opened["face"]["number"], opened["view"]["steps"]) == (1, {"Smiling": 1.5})


def test_a_recipe_of_steps_of_nothing(page: Page, photo: bytes) -> None:
    page.post("file", photo, x_name="me.jpg")
    page.act("move", steps={"Smiling": 1.5})
    values = json.loads(page.ask("take", {"what": "recipe"}).content)
    values["edits"][0]["steps"] = {"Smiling": 0.0}
    page.post("file", json.dumps(values).encode())
    opened = page.post("file", photo, x_name="me.jpg")
    assert opened["view"]["steps"] == {}
    assert "without its edit" not in opened.get("message", "")


def test_a_photos_colours_have_their_profile(page: Page) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    page.post("file", jpeg(icc_profile=profile), x_name="me.jpg")
    moved = page.move(Smiling=2.0)
    for picture in (moved["edited"], page.act("frame", index=0)["frame"]):
        with Image.open(io.BytesIO(picture.content)) as shown:
            assert shown.info.get("icc_profile") == profile


def test_an_edit_that_does_not_fit_leaves_the_photo_without_it(page: Page, photo: bytes) -> None:
    page.post("file", photo, x_name="me.jpg")
    page.act("move", steps={"Smiling": 1.5})
    values = json.loads(page.ask("take", {"what": "recipe"}).content)
    values["edits"][0]["layers"] = [0, 1]
    assert page.post("file", json.dumps(values).encode())["wants"]
    opened = page.post("file", photo, x_name="me.jpg")
    assert "without its edit" in opened["message"]
    assert "some layers only" in opened["message"]
    assert (opened["face"]["kind"], opened["view"]["steps"]) == ("photo", {})
    assert "message" not in page.post("file", photo, x_name="me.jpg")  # nothing waits any more


def test_an_edit_no_longer_waits_for_its_photo_once_another_face_is_chosen(
    page: Page, photo: bytes
) -> None:
    page.post("file", photo, x_name="me.jpg")
    page.act("move", steps={"Smiling": 1.5})
    recipe = page.ask("take", {"what": "recipe"}).content
    assert page.post("file", recipe)["wants"]
    page.act("face", seed=3)
    assert page.post("file", photo, x_name="other.jpg")["view"]["steps"] == {}
    assert page.post("file", recipe)["wants"]
    asked = page.post("file", jpeg(2), x_name="we.jpg")  # another photo: whose face?
    assert len(asked["choose"]["faces"]) == 2


def test_of_several_faces_one_is_chosen(page: Page) -> None:
    asked = page.post("file", jpeg(2), x_name="we.jpg")["choose"]
    assert [face["number"] for face in asked["faces"]] == [1, 2]
    assert asked["faces"][0]["left"] < asked["faces"][1]["left"] < 1
    refused = page.act("sitter", face=3)
    assert "no such face" in refused["message"].lower()
    chosen = page.act("sitter", face=2)
    assert (chosen["face"]["number"], chosen["face"]["count"]) == (2, 2)


def test_refining_goes_on_in_slices_and_the_page_hears_of_it(page: Page, photo: bytes) -> None:
    opened = page.post("file", photo)
    page.move(Smiling=2.0)
    before = page.act("look", version=0)
    assert before["face"]["done"] == 0
    assert "edited" not in before
    slices = refine(page)
    assert slices.count(False) == STEPS
    assert len(slices) == 1 + 2 * STEPS + 1 + 2 * len(REDRAWN)
    after = page.act("look", version=0)
    assert (after["face"]["done"], after["face"]["version"]) == (1, len(REDRAWN))
    assert after["original"] == opened["original"]  # the photo is the photo
    assert after["changes"]


def test_a_photo_is_rehearsed(desk: Desk, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    studio = desk.studios.first
    first = replace(studio.viewer.original(studio.first), picture=Picture(photo, "image/jpeg"))
    monkeypatch.setattr(studio.viewer, "original", lambda seed: first)
    assert len(list(studio.rehearse())) == 1 + REHEARSED
    monkeypatch.setattr(studio, "photos", None)
    assert not list(studio.rehearse())


def test_undo_leads_back_from_a_photo_and_an_old_one_is_forgotten(page: Page) -> None:
    seed = page.started["view"]["seed"]
    first = page.post("file", jpeg())
    assert page.act("undo")["view"] == {**page.started["view"], "seed": seed}
    assert page.act("redo")["edited"] == first["edited"]
    for zoom in (1, 2):
        page.post("file", jpeg(zoom=zoom))
    views = [page.act("undo") for _ in range(3)]
    assert views[-1]["face"]["kind"] == "seed"
    visitor = page.desk.visitors.find(page.token)
    assert visitor is not None
    assert len(visitor.session.sitters) == 2


def test_the_portrait_check_takes_the_same_photo(page: Page, photo: bytes) -> None:
    page.post("file", photo, x_name="me.jpg")
    same = page.ask("portrait", b"").text
    assert "<td>blur</td>" in same
    assert "me.jpg" in same
    assert page.ask("portrait", photo, x_name="me.jpg").text == same
    assert "passport" in page.ask("portrait", b"", x_for="passport").text


def test_compare_is_of_the_photo_too(page: Page, photo: bytes) -> None:
    page.post("file", photo, x_name="me.jpg")
    html = page.ask("compare", {"attribute": "Young", "step": -2.0}).text
    assert html.count("<img ") == 3
    assert "me.jpg" in html
    assert page.ask("compare", {"attribute": "Yuong", "step": 1}).headers[routes.REFUSED]


def test_two_visitors_do_not_see_each_other(desk: Desk, photo: bytes) -> None:
    one, two = Page(desk), Page(desk)
    one.post("file", photo, x_name="mine.jpg")
    one.move(Smiling=1.0)
    assert two.act("undo")["face"]["kind"] == "seed"
    assert two.act("redo")["view"]["steps"] == {}
    assert "mine.jpg" not in two.ask("portrait", b"").text


# ---- several models


def drawing(reply: dict[str, Any]) -> list[str]:
    return [model["name"] for model in reply["models"] if model["drawing"]]


def test_each_visitor_chooses_a_model_and_finds_the_edit_again(several: Desk) -> None:
    page, other = Page(several), Page(several)
    assert [model["name"] for model in page.started["models"]] == ["tiny", "shots", "far"]
    assert drawing(page.started) == ["tiny"]
    moved = page.move(Young=-2.0)
    chosen = page.post("model", {"name": "shots"})
    assert (drawing(chosen), chosen["takes_photos"], chosen["view"]["steps"]) == (
        ["shots"],
        True,
        {},
    )
    assert sum(len(group["controls"]) for group in chosen["groups"]) == 3
    page.move(Smiling=1.0)
    assert drawing(page.post("models", {})) == ["shots"]
    assert drawing(other.post("models", {})) == drawing(other.post("start", {})) == ["tiny"]
    back = page.post("model", {"name": "tiny"})
    assert (back["view"]["steps"], back["edited"]) == ({"Young": -2.0}, moved["edited"])
    assert page.post("model", {"name": "shots"})["view"]["steps"] == {"Smiling": 1.0}


def test_a_photo_is_drawn_by_the_model_that_takes_it(several: Desk) -> None:
    page = Page(several)
    page.move(Young=1.0)
    blank = io.BytesIO()
    Image.new("RGB", (300, 200)).save(blank, "PNG")
    assert "No face was found" in page.post("file", blank.getvalue())["message"]
    assert drawing(page.post("models", {})) == ["tiny"]
    opened = page.post("file", jpeg(), x_name="me.jpg")
    assert (opened["switched"], drawing(opened)) == ("shots", ["shots"])
    assert opened["face"]["name"] == "me.jpg"
    assert len(opened["groups"][0]["controls"]) <= 3
    assert page.move(Smiling=1.0)["edited"] != opened["edited"]
    assert page.post("model", {"name": "tiny"})["view"]["steps"] == {"Young": 1.0}
    visitor = several.visitors.find(page.token)
    assert visitor is not None
    assert visitor.photo_bytes == len(jpeg())  # still here, so still counted


def test_what_another_model_made_opens_with_it(several: Desk) -> None:
    page = Page(several)
    page.post("model", {"name": "shots"})
    page.move(Smiling=2.0)
    recipe = page.ask("take", {"what": "recipe"}).content
    page.act("reset")
    photo = jpeg()
    page.post("file", photo, x_name="me.jpg")
    page.move(Young=1.0)
    picture = page.ask("take", {"what": "jpeg"}).content
    page.post("model", {"name": "tiny"})
    opened = page.post("file", recipe)
    assert (opened["switched"], opened["view"]["steps"]) == ("shots", {"Smiling": 2.0})
    page.post("model", {"name": "tiny"})
    asked = page.post("file", picture)
    assert (asked["switched"], asked["wants"]) == ("shots", True)
    seated = page.post("file", photo, x_name="me.jpg")
    assert (seated["face"]["name"], seated["view"]["steps"]) == ("me.jpg", {"Young": 1.0})
    assert "switched" not in seated


def test_what_is_taken_is_of_one_moment(several: Desk) -> None:
    page = Page(several)
    page.post("file", jpeg(), x_name="me.jpg")
    page.move(Smiling=1.0)
    visitor = several.visitors.find(page.token)
    assert visitor is not None
    shown = several.studio_of(visitor).shown(visitor.session)
    before = take(shown, "latent").content
    assert refine(page)
    assert take(shown, "latent").content == before
    now = several.studio_of(visitor).shown(visitor.session)
    assert take(now, "latent").content != before


def test_a_model_that_is_not_here_says_how_to_get_it(several: Desk) -> None:
    page = Page(several)
    recipe = json.loads(page.ask("take", {"what": "recipe"}).content)
    recipe["sample"] |= {"model": "far", "generator_hash": FAR.generator_hash}
    for reply in (
        page.post("model", {"name": "far"}),
        page.post("file", json.dumps(recipe).encode()),
    ):
        assert reply["refused"]
        assert FAR.command in reply["message"]
    recipe["sample"]["generator_hash"] = "0" * 16
    assert "another model" in page.post("file", json.dumps(recipe).encode())["message"]
    for name in ("../tiny", "", None, ["tiny"]):
        assert "no such model" in page.post("model", {"name": name})["message"]
    assert drawing(page.post("models", {})) == ["tiny"]


# ---- what is refused


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<html>", "not an image"),
        (b"\xff\xd8\xff" + b"0" * 100, "not an image|damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image"),
        (b'{"edits": [' + b"[" * 16_000_000, "neither a picture"),
        (b"{not JSON", "not an edit recipe"),
        (b'{"edits": [3]}', "this version"),
        (b'{"edits": [{"face": 0}]}', "this version"),
    ],
)
def test_files_that_are_no_photos(page: Page, content: bytes, says: str) -> None:
    reply = page.post("file", content)
    assert reply["refused"]
    assert any(word in reply["message"].lower() for word in says.lower().split("|"))
    assert page.act("undo")["face"]["kind"] == "seed"


def test_photos_without_a_face_and_bombs(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def saved(size: tuple[int, int], mode: str = "RGB") -> bytes:
        buffer = io.BytesIO()
        Image.new(mode, size).save(buffer, "PNG")
        return buffer.getvalue()

    assert "No face was found" in page.post("file", saved((300, 200)))["message"]
    assert "make it smaller" in page.post("file", saved((10_000, 6000), "1"))["message"]
    monkeypatch.setattr(routes, "MAX_BYTES", 1000)
    reply = page.post("file", jpeg())
    assert (reply["status"], reply["message"]) == (413, "This file is too large.")


def test_a_model_for_seeds_alone_says_what_to_do(plain: Desk) -> None:
    page = Page(plain)
    assert not page.started["takes_photos"]
    assert "models pull ffhq1024" in page.post("file", jpeg())["message"]


def test_requests_of_other_pages_are_refused(page: Page) -> None:
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ):
        for path in ("start", "act", "file", "take", "goodbye"):
            assert page.ask(path, {"do": "undo"}, **headers).status_code == 403
    for own in (
        {"origin": "http://testserver"},
        {"origin": "https://a.tunnel", "sec_fetch_site": "same-origin"},
        {},
    ):
        assert page.ask("act", {"do": "undo"}, **own).status_code == 200


def test_large_and_unreadable_requests(page: Page) -> None:
    assert page.ask("act", b"[" * (MAX_REQUEST + 1)).status_code == 413

    def without_a_length() -> Iterator[bytes]:
        yield from [b" " * 65536] * 5

    answer = page.client.post(
        "/latentedit/act", content=without_a_length(), headers={"x-visitor": page.token}
    )
    assert answer.status_code == 413
    for body in (b"", b"[]", b"\xff", b"[" * 10_000, b'"undo"'):
        assert "reload" in page.post("act", body)["message"]


def test_a_fault_of_ours_is_a_message_and_changes_nothing(
    page: Page, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page.move(Young=-1.0)
    monkeypatch.setattr(Studio, "act", lambda *_: 1 / 0)
    reply = page.move(Young=-2.0)
    assert reply.pop("milliseconds") >= 0
    assert reply == {"message": "Something went wrong here, and nothing was changed."}
    monkeypatch.undo()
    assert page.act("look")["face"]["kind"] == "seed"
    assert "ZeroDivisionError" in caplog.text


def test_one_photo_at_a_time_and_few_in_all(
    page: Page, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = desk.visitors.find(page.token)
    assert visitor is not None
    visitor.uploading = True
    assert "still being read" in page.post("file", jpeg())["message"]
    assert "still being read" in page.ask("portrait", jpeg()).text
    visitor.uploading = False
    monkeypatch.setattr(routes, "WAITING", 0)
    assert "try again" in page.post("file", jpeg())["message"]
