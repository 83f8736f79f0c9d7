"""storage: files that appear whole or not at all, pieces found by content, and shards."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ntviz import storage
from ntviz.benchmark import cells
from ntviz.storage import Output, Pieces

ABOUT = {"weights": "w", "layer": 2, "places": (1, 2)}
ARRAYS = {
    "values": np.linspace(0, 1, 700),
    "names": np.array(["a", "bc"]),
    "path": np.arange(3, dtype=np.int8),
}


def ran(script, *arguments):
    """What a script prints in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# By content -----------------------------------------------------------------------------------------------------------


def test_content_of_a_file_and_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in (("b", "2"), ("sub/a", "1"), (".part", "x"), (".cache/c", "y")):
        (tmp_path / "m" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "m" / name).write_text(text)
    one, two = (hashlib.sha256(text).hexdigest() for text in (b"1", b"2"))
    assert storage.content("m/b") == {"path": str(tmp_path / "m" / "b"), "bytes": 1, "sha256": two}
    found = storage.content("m")
    assert list(found["files"].items()) == [("b", two), ("sub/a", one)]
    assert found == {
        "path": str(tmp_path / "m"),
        "bytes": 2,
        "sha256": storage.digest(found["files"]),
        "files": found["files"],
    }
    (tmp_path / "m" / "b").rename(tmp_path / "m" / "c")
    assert storage.content("m")["sha256"] != found["sha256"]


def test_a_large_file_is_read_once_and_any_edit_is_seen(tmp_path, monkeypatch):
    file, read, whole = tmp_path / "x", [], storage.sha256
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "LARGE", 4)
    monkeypatch.setattr(storage, "sha256", lambda path: read.append(path) or whole(path))

    def sums(text):
        file.write_text(text)
        os.utime(file, ns=(1, 1))  # an edit with an old time stamp
        time.sleep(0.02)  # a tick of the disk's clock
        before = len(read)
        assert {storage.content(file)["sha256"] for _ in range(3)} == {whole(file)}
        return len(read) - before

    assert sums("ACGT") == 3  # changed just now: it might change again before its times do
    monkeypatch.setattr(storage, "SETTLED", 0.0)
    assert [sums("ACGT"), sums("ACGA")] == [1, 1]
    (kept,) = [path for path in (tmp_path / "cache" / "sha256").iterdir() if path.read_text() == whole(file)]
    kept.write_text("half of a su")
    assert storage.content(file)["sha256"] == kept.read_text() == whole(file)
    monkeypatch.setenv("NTVIZ_CACHE", str(file / "no" / "folder"))
    assert sums("ACGC") == 3


# Whole or not at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_appears_whole_or_not_at_all(tmp_path, error):
    path = tmp_path / "deep" / "file.txt"
    with storage.atomic_write(path, "w") as handle:
        handle.write("first\n")
        assert not path.exists()
    with pytest.raises(error, match="stop"), storage.atomic_write(path, "w") as handle:
        handle.write("second")
        raise error("stop")
    assert path.read_bytes() == b"first\n"
    assert list(path.parent.iterdir()) == [path]
    path.with_name("plain").write_bytes(b"x")
    assert path.stat().st_mode == path.with_name("plain").stat().st_mode
    with pytest.raises(ValueError, match="but 'a' came"), storage.atomic_write(path, "a"):
        pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_folder_appears_whole_or_not_at_all(tmp_path, error):
    target = tmp_path / "checkpoint"
    for step in ("1", "2"):
        with storage.atomic_directory(target) as folder:
            (folder / f"step-{step}").write_text(step)
            assert not (target / f"step-{step}").exists()
    with pytest.raises(error, match="stop"), storage.atomic_directory(target) as folder:
        (folder / "step-3").write_text("3")
        raise error("stop")
    assert [file.name for file in target.iterdir()] == ["step-2"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    # A limit on the size of files makes a real write fail as on a full disk, without a disk to fill.
    said = ran(
        """
        import resource, sys
        from ntviz import storage
        folder = sys.argv[1]
        storage.append_line(folder + "/log", "a" * 600)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 100_000))
        try:
            storage.append_line(folder + "/log", "b" * 600)
        except OSError as error:
            print("line:", error)
        try:
            with storage.atomic_write(folder + "/file") as handle:
                handle.write(b"x" * 200_000)
        except OSError as error:
            print("file:", error)
        try:
            with storage.atomic_directory(folder + "/folder") as inner:
                (inner / "weights").write_bytes(b"x" * 200_000)
        except OSError as error:
            print("folder:", error)
        storage.append_line(folder + "/log", "c")
        """,
        tmp_path,
    )
    for what, name in (("line", "log"), ("file", "file"), ("folder", "folder")):
        assert f"{what}: [Errno 27] {name} must fit on the disk" in said
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert (tmp_path / "log").read_text() == "a" * 600 + "\nc\n"


def test_killed_while_it_writes_the_file_is_the_old_or_the_new_one(tmp_path):
    output, rng = Output(tmp_path / "a.b.tsv"), random.Random(3)
    whole = {letter * 400_000 for letter in (b"x", b"y")}
    for n in range(20):
        process = os.fork()
        if process == 0:
            while True:
                for content in whole:
                    with storage.atomic_write(output.path) as handle:
                        handle.write(content)
        deadline = time.monotonic() + 30
        while not n and not output.path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)  # a machine with much to do needs longer for the first
        time.sleep(rng.uniform(0.01, 0.04))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        assert output.path.read_bytes() in whole
    others = [tmp_path / name for name in (".a.1.tsv.99999999-ab.part", ".a.b.tsv.99999999-ab.part.gz.tbi")]
    for path in others:
        path.touch()
    with storage.beside(output.path) as living:
        living.touch()
        output.end()
        assert sorted(tmp_path.iterdir()) == sorted([output.path, living, others[0]])


@pytest.mark.parametrize("end", storage.TABLES)
def test_tables_by_ending_and_their_card(tmp_path, end):
    table = pd.DataFrame({"chrom": ["20"], "value": [0.5]})
    path = storage.write_table(table, tmp_path / f"a{end}")
    read = {
        ".tsv": lambda path: pd.read_csv(path, sep="\t"),
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
    }
    assert read[end](path).astype({"chrom": str}).equals(table)
    card = storage.write_card(tmp_path / "x.vcf.gz", ["lost"], n=1)
    assert (card.name, json.loads(card.read_text())) == ("x.json", {"n": 1, "notes": ["lost"]})


# By content -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [True, False])
def test_arrays_and_plain_data_come_back(tmp_path, compress):
    paths = [storage.save(tmp_path / name, {"a": [1, None]}, ARRAYS, compress=compress) for name in "ab"]
    about, arrays = storage.load(paths[0], ARRAYS)
    assert about == {"a": [1, None]}
    assert arrays.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], values)
        assert arrays[name].dtype == values.dtype
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("compress", [True, False])
def test_a_file_cut_off_or_changed_is_refused_wherever_it_happened(tmp_path, compress):
    """Each ends with one error, whatever the archive says of it, and leaves no file open: its warning is an error here."""
    path = storage.save(tmp_path / "one.npz", ABOUT, {"values": np.arange(90)}, compress=compress)
    whole, refused = path.read_bytes(), 0
    for end in range(0, len(whole), 31):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"one.npz must be whole .*make it again"):
            storage.load(path)
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            # Times in the archive may change without harm; what is read then is what was saved.
            about, arrays = storage.load(path, ["values"])
            assert about == json.loads(json.dumps(ABOUT))
            np.testing.assert_array_equal(arrays["values"], np.arange(90))
        except ValueError:
            refused += 1
    assert refused > len(whole) / 3 / 2
    gc.collect()


def test_what_is_none_of_ours_is_refused(tmp_path):
    path = storage.save(tmp_path / "a.npz", {"format": 1}, ARRAYS)
    with pytest.raises(ValueError, match=r"it has format 1, not 2"):
        storage.load(path, version=2)
    with pytest.raises(ValueError, match=r"it has no other"):
        storage.load(path, ["values", "other"])
    np.savez(path, values=np.arange(3))
    with pytest.raises(ValueError, match=r"about"):
        storage.load(path)
    np.savez(path, about=np.array("{}"), values=np.array([object()]))
    with pytest.raises(ValueError, match=r"allow_pickle=False"):
        storage.load(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        storage.load(tmp_path / "nowhere.npz")


def test_content_keeps_questions_apart(tmp_path):
    digests = [storage.digest(about) for about in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3})]
    assert digests[0] == digests[1] != digests[2]
    output = Output(tmp_path / "out.npz", tmp_path / "kept")
    first, second = output.pieces(ABOUT), output.pieces({**ABOUT, "layer": 3})
    assert first.folder != second.folder
    assert {first.folder.parent, second.folder.parent, output.pieces().folder} == {tmp_path / "kept"}
    first.write("a", None, ARRAYS)
    assert second.read("a") is None
    assert output.pieces(ABOUT).read("a") is not None
    assert json.loads((first.folder / storage.CARD).read_text()) == {**ABOUT, "places": [1, 2]}


def test_missing_and_damaged_pieces_are_told_apart_and_named(tmp_path):
    pieces, names = Pieces(tmp_path / "kept", ABOUT), ["a", "b", "c"]
    for number, name in enumerate(names):
        pieces.write(name, number, {"values": np.full(3, number)})
    assert [about for about, _ in pieces.each(names, ["values"])] == [0, 1, 2]
    assert [path.stem for path in pieces.files()] == names
    assert pieces.unfinished(names) == storage.Unfinished(pieces.folder, 3, 3, ())
    pieces.file("b").unlink()
    pieces.file("c").write_bytes(pieces.file("c").read_bytes()[:-9])
    assert (pieces.missing(names), pieces.read("b"), pieces.damaged) == ((1,), None, [])
    assert pieces.read("c") is None
    assert [path for path, _ in pieces.damaged] == [str(pieces.file("c"))]
    with pytest.raises(ValueError, match=r"2 are missing or damaged: b, c\. Run it again"):
        list(pieces.each(names))
    again = Pieces.begun(tmp_path / "kept")
    assert (again.about, again.read("a", ["other"])) == (pieces.about, None)


def test_a_folder_of_something_else_is_refused(tmp_path):
    Pieces(tmp_path / "kept", ABOUT)
    with pytest.raises(ValueError, match=r"kept was made with layer = 2, and 3 came; new = None, and 1 came"):
        Pieces(tmp_path / "kept", {**ABOUT, "layer": 3, "new": 1})
    (tmp_path / "kept" / storage.CARD).write_text("{")
    with pytest.raises(ValueError, match=r"pieces.json must be JSON that ntviz wrote; .*pieces.json is not"):
        Pieces(tmp_path / "kept", ABOUT)
    with pytest.raises(FileNotFoundError, match=r"must hold pieces.json; .* does not"):
        Pieces.begun(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".pieces.json.77-ab.part").touch()
    Pieces(tmp_path / "other", ABOUT)  # another shard writes its card at this moment
    (tmp_path / "thesis.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(ValueError, match=r"must be new, empty, or hold pieces.json; .* holds something"):
            Pieces(folder, ABOUT)


def test_a_cell_that_two_shards_finish_is_never_gone_for_a_reader(tmp_path):
    cell = cells.Cell({"value": 0.5}, *(np.zeros(3) for _ in range(4)), seconds=1.5)
    path, problems = tmp_path / "cells" / "key.npz", []
    cells.save(cell, path)

    def writing():
        for seconds in range(40):
            cells.save(replace(cell, seconds=seconds), path)

    writers = [threading.Thread(target=writing) for _ in range(2)]
    for one in writers:
        one.start()
    while any(one.is_alive() for one in writers):
        try:
            assert cells.load(path).row == {"value": 0.5}
        except ValueError as error:
            problems.append(error)
    assert problems == []
    assert cells.load(path).seconds == 1.5
    assert [one.name for one in path.parent.iterdir()] == ["key.npz"]


# Shards ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0, 1, 7, 64])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_each_piece_is_one_shards(total, n):
    shares = [storage.share(total, (i, n)) for i in range(1, n + 1)]
    assert sorted(number for share in shares for number in share) == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    for shard in ((0, n), (n + 1, n), (1, 0), (1,)):
        with pytest.raises(ValueError, match=r"shard must be \(i, n\) with i from 1 to n; received"):
            storage.share(total, shard)


def test_a_file_is_replaced_only_when_its_run_did_not_end(tmp_path):
    target = Output.of(tmp_path / "out.npz", None, (".npz",), "A map")
    target.begin()
    target.path.touch()
    target.begin()  # killed after it was written, before its folder was gone
    target.end()
    with pytest.raises(FileExistsError, match=r"The output must not be there yet; .*out.npz is"):
        target.begin()
    assert not target.work.exists()
    target.begin(overwrite=True)
    assert target.work.is_dir()
    with pytest.raises(ValueError, match=r"A map must go to .npz; received a.txt"):
        Output.of("a.txt", None, (".npz",), "A map")
