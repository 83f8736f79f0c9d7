"""One head in a folder, and one process in a job: who holds it, what becomes of the dead, what is waited for."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time

import pytest

from ntviz.runs import heads, job, jobs

SLEEPER = "import sys, time; print(flush=True); time.sleep(60)"


@pytest.fixture
def sleeper():
    """A process that sleeps until the test ends."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def held(folder, **facts):
    content = {
        "host": platform.node(),
        "user": "ada",
        "since": "2026-11-26T08:00:00+00:00",
        "pid": 1,
        "born": 0,
    }
    (folder / heads.FILE).write_text(json.dumps({**content, "child": 0, "child_born": 0, **facts}))


def test_a_second_head_is_told_who_holds_the_folder(tmp_path):
    with heads.hold(tmp_path) as first:
        assert first.after is None
        expected = rf"is held by process {os.getpid()} of .* on {platform.node()} since 20.*\. Wait for it, or stop it"
        with pytest.raises(heads.HeldError, match=expected), heads.hold(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []
    with heads.hold(tmp_path):
        pass


def test_the_hold_ends_when_the_block_breaks(tmp_path):
    with pytest.raises(RuntimeError, match="broken"), heads.hold(tmp_path):
        raise RuntimeError("broken")
    assert list(tmp_path.iterdir()) == []


def test_the_place_of_a_dead_head_is_taken(tmp_path, sleeper):
    sleeper.kill()
    sleeper.wait()
    held(tmp_path, pid=sleeper.pid)
    with heads.hold(tmp_path) as hold:
        assert hold.after.pid == sleeper.pid
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_has_now_is_no_life(tmp_path, sleeper):
    held(tmp_path, pid=sleeper.pid, born=1)
    with heads.hold(tmp_path) as hold:
        assert hold.after.pid == sleeper.pid
    held(tmp_path, pid=sleeper.pid)
    with pytest.raises(heads.HeldError, match=f"process {sleeper.pid} of ada"), heads.hold(tmp_path):
        pass


def test_an_engine_that_outlived_its_head_holds_the_folder(tmp_path, sleeper):
    held(tmp_path, pid=2**22 + 1, child=sleeper.pid)
    with pytest.raises(heads.HeldError, match="Wait for it, or stop it"), heads.hold(tmp_path):
        pass


def test_a_head_on_another_machine_is_believed_to_live(tmp_path):
    held(tmp_path, host="login-2")
    with (
        pytest.raises(
            heads.HeldError, match=r"on login-2 since .* If it is gone from login-2, remove .*head\.json"
        ),
        heads.hold(tmp_path),
    ):
        pass
    (tmp_path / heads.FILE).write_text('{"host"')
    with (
        pytest.raises(heads.HeldError, match="it cannot be read. If nobody does, remove it"),
        heads.hold(tmp_path),
    ):
        pass


def test_of_many_heads_at_once_one_wins(tmp_path):
    held(tmp_path, pid=2**22 + 1)
    code = (
        "import sys, time\nfrom ntviz.runs import heads\nsys.stdin.readline()\n"
        "try:\n    with heads.hold(sys.argv[1]):\n        print('won', flush=True)\n        time.sleep(2)\n"
        "except heads.HeldError:\n    print('refused')"
    )
    many = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(5)
    ]
    for process in many:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in many)
    assert answers == ["refused"] * 4 + ["won"]


# Jobs ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    """Where a job of `ntviz --version` leaves its log and mark."""
    return {"log": tmp_path / "logs" / "a.log", "done": tmp_path / "a.done", "cwd": tmp_path}


def test_a_job_that_ends_well_is_marked_with_what_it_took(place):
    assert job.run(["--version"], **place) == 0
    mark = job.mark(place["done"])
    assert mark["command"] == ["--version"]
    assert mark["digest"] == job.digest(["--version"]) != job.digest(["--help"])
    assert mark["seconds"] > 0
    assert mark["peak_memory_bytes"] > 5_000_000
    assert [event["event"] for event in job.events(place["log"])] == ["start", "end"]
    assert "ntviz 0" in place["log"].read_text()
    assert not job.running(place["log"])


def test_a_job_that_fails_has_no_mark_and_says_why(place):
    assert job.run(["score", "no.vcf", "--out", "x.vcf"], **place) == 2
    assert not place["done"].exists()
    failed = jobs.Job("a", "merge", ("score",), place["done"], place["log"])
    assert failed.state == "failed"
    assert failed.failure().startswith("the variants must be in a file, but there is none at no.vcf")
    assert job.run(["--version"], **place) == 0
    assert [event["event"] for event in job.events(place["log"])] == ["start", "end"] * 2


def test_a_job_waits_for_its_like_and_takes_over_its_mark(place, tmp_path):
    place["log"].parent.mkdir()
    with open(place["log"], "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert job.running(place["log"])
        codes = []
        waiting = threading.Thread(target=lambda: codes.append(_call(place)))
        waiting.start()
        time.sleep(1)
        assert codes == [] and place["log"].read_text() == ""
        place["done"].write_text(json.dumps({"digest": job.digest(["--version"])}))
    waiting.join(60)
    assert codes == [0]
    assert [event["event"] for event in job.events(place["log"])] == ["taken over"]


def test_the_mark_of_another_command_is_not_taken_over(place):
    place["done"].write_text(json.dumps({"digest": job.digest(["--help"])}))
    assert job.run(["--version"], **place) == 0
    assert [event["event"] for event in job.events(place["log"])] == ["start", "end"]


def _call(place):
    command = [sys.executable, "-m", "ntviz.runs.job"]
    command += [word for name, path in place.items() for word in (f"--{name}", str(path))]
    return subprocess.run([*command, "--", "--version"], timeout=60, check=False).returncode


def test_a_killed_job_is_lost_and_one_that_is_asked_to_end_is_passed_on(place, tmp_path, make_notebook):
    notebook = make_notebook("import time", "time.sleep(60)", name="slow")
    command = [sys.executable, "-m", "ntviz.runs.job", "--threads", "1"]
    command += [word for name, path in place.items() for word in (f"--{name}", str(path))]
    words = ("run", str(notebook), "--out", str(tmp_path / "run"))
    asked = jobs.Job("a", "notebook", words, place["done"], place["log"])
    assert asked.state == "to do"
    with subprocess.Popen([*command, "--", *words]) as process:
        _wait(lambda: (tmp_path / "run" / "manifest.json").is_file())
        assert asked.state == "running"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert asked.state == "interrupted"
    assert "stopped by SIGTERM" in asked.failure()
    with subprocess.Popen([*command, "--", *words], start_new_session=True) as process:
        _wait(lambda: len(job.events(place["log"])) == 3)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)
    _wait(lambda: asked.state == "lost")
    assert asked.failure() == "it ended without a word: killed, out of memory, or out of time"


def _wait(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.1)
