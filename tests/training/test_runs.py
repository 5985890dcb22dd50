from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from latentedit.errors import LatentEditError
from latentedit.training.runs import Run


def begin(run: Run, *, resume: bool = False, **changes: object) -> None:
    arguments = {"data": "drawn", "command": "latentedit train", "resume": resume, **changes}
    run.begin({"epochs": 3}, **arguments)


def test_a_run_keeps_options_data_command_and_network(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "one")
    begin(run, network={"widths": [1, 2]})
    saved = run.read_options()
    assert saved["options"] == {"epochs": 3}
    assert saved["data"] == "drawn"
    assert saved["network"] == {"widths": [1, 2]}
    assert "latentedit train" in str(saved)


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    begin(run)
    run.state.write_text("a state")
    for refuse in (lambda: begin(run), lambda: run.check(resume=False)):
        with pytest.raises(LatentEditError, match="holds a run already: add --resume"):
            refuse()
    assert run.state.read_text() == "a state"
    begin(run, resume=True)


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for refuse in (lambda: begin(run, resume=True), lambda: run.check(resume=True)):
        with pytest.raises(LatentEditError, match=r"nothing to resume in .*: leave out"):
            refuse()
    assert not run.folder.exists()
    run.check(resume=False)
    assert not run.folder.exists()


def test_a_run_that_was_killed_before_its_first_state_begins_anew(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    begin(run)
    run.write_log({"images": 1})
    begin(run)
    assert run.read_log() == []


def test_a_resumed_run_remembers_the_command_that_began_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    begin(run, command="latentedit train first")
    run.state.write_text("a state")
    begin(run, command="latentedit train second --resume", resume=True)
    assert "latentedit train first" in str(run.read_options())


def test_the_log_is_read_back_record_by_record(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.read_log() == []
    records = [{"images": 1, "loss": 0.5}, {"images": 2, "note": "ä\n\u2028"}]
    for record in records:
        run.write_log(record)
    assert run.read_log() == records
    assert len(run.log.read_bytes().splitlines()) == 2


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for images in (1, 2, 3):
        run.write_log({"images": images})
    run.log.write_bytes(run.log.read_bytes()[:-4])
    assert run.read_log() == [{"images": 1}, {"images": 2}]
    run.rewind_log("images", 2)
    run.write_log({"images": 3})
    assert run.read_log() == [{"images": 1}, {"images": 2}, {"images": 3}]


def test_records_beyond_the_resumed_state_are_dropped(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for images in (1000, 2000, 3000, 4000):
        run.write_log({"images": images})
    run.rewind_log("images", 2500)
    assert run.read_log() == [{"images": 1000}, {"images": 2000}]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentEditError, match=r"options\.json is missing"):
        Run(tmp_path).read_options()
    (tmp_path / "options.json").write_text("{")
    with pytest.raises(LatentEditError, match="is not valid JSON"):
        Run(tmp_path).read_options()


def test_a_run_cannot_begin_inside_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LatentEditError, match="cannot create folder"):
        begin(Run(tmp_path / "file" / "run"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX locks")
def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    program = (
        "import sys\nfrom latentedit.training.runs import Run\nrun = Run(sys.argv[1])\n"
        "run.begin({}, data='', command='', resume=False)\nrun.write_log({'images': 9})\n"
        "print('begun', flush=True)\nsys.stdin.read()"
    )
    words = [sys.executable, "-c", program, str(run.folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"begun\n"
        for action in (lambda: begin(run), lambda: run.rewind_log("images", 5)):
            with pytest.raises(LatentEditError, match="another process trains in"):
                action()
        assert run.read_log() == [{"images": 9}]
        other.kill()
    begin(run)
    begin(run)  # in one process, one after the other


def test_a_run_lists_what_computed_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    begin(run, device="cpu, 2 threads")
    run.state.touch()
    for device in ("a GPU", "cpu, 2 threads", "a GPU"):
        begin(run, resume=True, device=device)
    assert run.origin()["devices"] == ["cpu, 2 threads", "a GPU"]


def test_a_run_names_all_data_that_it_learned_from(tmp_path: Path) -> None:
    run = Run(tmp_path)
    begin(run, data="one")
    run.state.touch()
    for data in ("one", "two", "one", "two"):
        begin(run, resume=True, data=data)
    assert run.origin()["data"] == "one; then two"


def test_a_run_from_before_devices_were_noted_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path)
    begin(run)
    run.state.touch()
    begin(run, resume=True, device="a GPU")
    assert run.origin()["devices"] == ["not noted", "a GPU"]


def test_a_resumed_run_keeps_its_generator(tmp_path: Path) -> None:
    begin = partial(Run(tmp_path).begin, {}, data="pictures", command="train")
    begin(resume=False, facts={"generator_hash": "one"})
    Run(tmp_path).state.write_bytes(b"")
    with pytest.raises(LatentEditError, match="generator one, this one is two"):
        begin(resume=True, facts={"generator_hash": "two"})
    assert Run(tmp_path).read_options()["generator_hash"] == "one"
