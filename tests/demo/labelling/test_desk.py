"""The labelling page's routes, and the thread that chooses and draws ahead of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_needs import give_up, lacking

if why := lacking(browser=False):
    give_up(why)

from starlette.applications import Starlette
from starlette.testclient import TestClient

from latentedit.boundaries.choosing import Answer, Chooser
from latentedit.boundaries.labels import LabelFile
from latentedit.demo.labelling.ahead import DRAWN, Ahead
from latentedit.demo.labelling.routes import Desk
from latentedit.demo.labelling.server import open_desk
from latentedit.demo.replies import Picture, picture_of
from latentedit.editing.editor import FaceEditor
from latentedit.errors import LatentEditError


@pytest.fixture(scope="module")
def editor(_bundle: Path) -> FaceEditor:
    return FaceEditor.load(_bundle)


@pytest.fixture
def desk(editor: FaceEditor, tmp_path: Path) -> Iterator[Desk]:
    file = LabelFile(tmp_path / "l.csv", "wink", editor.generator_hash)
    desk = open_desk(editor, file, "fit", wanted=3)
    yield desk
    desk.ahead.close()


@pytest.fixture
def client(desk: Desk) -> TestClient:
    return TestClient(Starlette(routes=desk.routes()))


def test_answers_are_kept_and_counted(desk: Desk, client: TestClient) -> None:
    state = client.post("/labels/start", json={}).json()
    assert (state["yes"], state["no"], state["enough"], state["both"]) == (0, 0, False, False)
    for says in ("yes", "unsure", "yes", "yes"):
        state = client.post("/labels/answer", json={"seed": state["faces"][0], "says": says}).json()
    assert (state["yes"], state["unsure"], state["enough"], state["both"]) == (3, 1, True, False)
    assert [answer.value for answer in desk.file.answers] == [True, None, True, True]
    last = desk.file.answers[-1].seed
    state = client.post("/labels/back", json={}).json()
    assert state["faces"][0] == last
    assert not state["enough"]


def test_wrong_requests_change_nothing(desk: Desk, client: TestClient) -> None:
    faces = client.post("/labels/start", json={}).json()["faces"]
    for asked in ({"seed": faces[1], "says": "yes"}, {"seed": faces[0], "says": "maybe"}, {}, [1]):
        assert client.post("/labels/answer", json=asked).json()["message"]
    assert client.post("/labels/answer", content=b"x" * 2000).status_code == 413
    strange = {"sec-fetch-site": "cross-site"}
    asked = {"seed": faces[0], "says": "yes"}
    assert client.post("/labels/answer", json=asked, headers=strange).status_code == 403
    assert client.get(f"/labels/face/{faces[0]}", headers=strange).status_code == 403
    assert client.get("/labels/../routes.py").status_code == 404
    assert desk.file.answers == ()
    assert not desk.file.path.exists()


def test_faces_that_come_are_served_and_no_others(client: TestClient, editor: FaceEditor) -> None:
    (seed, *_) = client.post("/labels/start", json={}).json()["faces"]
    reply = client.get(f"/labels/face/{seed}")
    assert reply.content == picture_of(editor.render(editor.sample([seed]))[0]).content
    assert client.get("/labels/face/5").status_code == 404


def test_the_page_loads_nothing_of_other_hosts(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text
    for name in ("labels.css", "labels.js"):
        assert client.get(f"/labels/{name}").status_code == 200


def test_a_size_that_the_model_cannot_draw(editor: FaceEditor, tmp_path: Path) -> None:
    file = LabelFile(tmp_path / "l.csv", "wink", editor.generator_hash)
    with pytest.raises(LatentEditError, match="--size 16"):
        open_desk(editor, file, "fit", size=17)


def test_an_answer_waits_for_no_picture_and_faces_are_drawn_ahead() -> None:
    drawn: list[int] = []
    free = threading.Event()

    def draw(seed: int) -> Picture:
        free.wait(20)
        drawn.append(seed)
        if seed == 3:
            raise RuntimeError("no memory")
        return picture_of(np.zeros((4, 4, 3), np.uint8))

    chooser = Chooser(lambda seeds: np.ones((len(seeds), 4), np.float32), range(100), range(0))
    ahead = Ahead(chooser, draw, ())
    answers: tuple[Answer, ...] = ()
    for number in range(5):  # no picture is there yet
        assert ahead.faces()[0].seed == number
        answers = (*answers, Answer(number, True))
        ahead.told(answers)
    free.set()
    ahead.told(answers[:2])  # three are taken back
    assert ahead.faces()[0].seed == 2
    assert ahead.picture(2) is not None
    assert ahead.picture(3) is None  # could not be drawn
    assert ahead.picture(77) is None  # does not come
    until = time.monotonic() + 20
    while len(set(drawn)) < DRAWN and time.monotonic() < until:
        time.sleep(0.01)
    assert set(range(2, 2 + DRAWN)) <= set(drawn)
    ahead.close()


def test_an_answer_that_is_taken_back_at_once_comes_again() -> None:
    chooser = Chooser(lambda seeds: np.ones((len(seeds), 4), np.float32), range(100), range(0))
    ahead = Ahead(chooser, lambda seed: picture_of(np.zeros((4, 4, 3), np.uint8)), ())
    for _ in range(50):
        assert ahead.faces()[0].seed == 0
        ahead.told((Answer(0, True),))
        ahead.told(())
    ahead.close()


def test_where_no_face_is_left_the_page_is_told() -> None:
    chooser = Chooser(lambda seeds: np.ones((len(seeds), 4), np.float32), range(2), range(0))
    ahead = Ahead(chooser, lambda seed: picture_of(np.zeros((4, 4, 3), np.uint8)), ())
    ahead.told((Answer(0, True), Answer(1, False)))
    assert ahead.faces() == []
    ahead.close()
