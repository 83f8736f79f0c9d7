"""The catalogue, and fetching from a server that does all that servers do wrong."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import filelock
import httpx
import pytest

from ntviz import data, environment
from ntviz.data import External, FetchError, File, downloads

CONTENT = gzip.compress(bytes(range(256)) * 4_000, compresslevel=0, mtime=0)
MD5 = hashlib.md5(CONTENT).hexdigest()
REVISION = "0123456789abcdef0123456789abcdef01234567"
QUICK = {"progress": False, "wait": 0.0, "timeout": 5.0}


class Server:
    """HTTP server on this machine whose behaviour a test writes; it keeps what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.behaviours: dict[str, Callable[[BaseHTTPRequestHandler, bytes], None]] = {}
        self.ranges: list[str | None] = []
        self.requests: list[str] = []
        self.supports_range = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.ranges.append(self.headers.get("Range"))
                if self.path not in outer.files:
                    self.send_error(404)
                    return
                behaviour = outer.behaviours.get(self.path, outer.serve)
                behaviour(self, outer.files[self.path])

            do_HEAD = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def serve(self, handler: BaseHTTPRequestHandler, content: bytes, *, send: int | None = None) -> None:
        """Answer well, or with the first `send` bytes only."""
        start = 0
        asked = handler.headers.get("Range")
        if self.supports_range and asked:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        handler.send_header("X-Repo-Commit", REVISION)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content[start : len(content) if send is None else send])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.files["/a.gz"] = CONTENT
    yield server
    server.close()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NTVIZ_CACHE", str(cache))
    return cache


def toy(url: str, **more: object) -> External:
    return External("toy", "v1", "a toy", "CC0", (File(url.rpartition("/")[2], url, **more),))  # type: ignore[arg-type]


def entry(server: Server, path: str = "/a.gz", **more: object) -> External:
    return toy(server.url(path), **more)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def record_of(path: Path) -> dict:
    return json.loads(Path(f"{path}.source.json").read_text(encoding="utf-8"))


# A good server --------------------------------------------------------------------------------------------------------


def test_fetch_puts_the_file_and_its_record_once(server, own_cache):
    path = data.fetch(entry(server), **QUICK)
    assert path == own_cache / "external" / "toy" / "v1" / "a.gz"
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["a.gz", "a.gz.source.json"]
    record = record_of(path)
    assert record.pop("checked_against").startswith("nothing stated")
    assert record.pop("fetched")
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert record == {"sha256": sha256, "bytes": len(CONTENT), "url": server.url("/a.gz")}
    data.fetch(entry(server), **QUICK)
    assert server.requests == ["/a.gz"]
    data.fetch(entry(server), force=True, **QUICK)
    assert server.requests == ["/a.gz", "/a.gz"]


def test_several_files_and_one_folder_of_them(server, tmp_path, monkeypatch):
    paths = ["x/train.txt", "x/test.txt", "y/train.txt"]
    server.files |= {f"/{path}": path.encode() for path in paths}
    files = tuple(File(path, server.url(f"/{path}")) for path in paths)
    monkeypatch.setitem(data.CATALOGUE, "toy", External("toy", "v1", "a toy", "CC0", files))
    with pytest.raises(FileNotFoundError, match=r"run `ntviz data fetch toy/x`"):
        data.local("toy/x")
    folder = data.fetch("toy/x", **QUICK)
    assert folder.name == "x"
    assert (folder / "train.txt").read_text() == "x/train.txt"
    assert data.local("toy/x") == folder
    assert sorted(server.requests) == ["/x/test.txt", "/x/train.txt"]
    whole = data.fetch("toy", **QUICK)
    assert whole == folder.parent == data.local("toy")
    assert len(server.requests) == 3
    with pytest.raises(ValueError, match=r"A part of toy must be one of x, y; received 'z'"):
        data.fetch("toy/z", **QUICK)


def test_data_folder_wins_over_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.setitem(data.CATALOGUE, "toy", entry(server))
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    provided = tmp_path / "external" / "toy" / "v1" / "a.gz"
    provided.parent.mkdir(parents=True)
    provided.write_bytes(CONTENT)
    assert data.fetch("toy", **QUICK) == data.local("toy") == provided
    assert server.requests == []


# Breaking off and going on --------------------------------------------------------------------------------------------


def faulty(server: Server, fault: Callable, times: int = 1) -> None:
    """The server is at fault the first times it is asked for the file."""

    def behaviour(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        (fault if len(server.requests) <= times else server.serve)(handler, content)

    server.behaviours["/a.gz"] = behaviour


def cut_first(server: Server, times: int) -> None:
    faulty(server, lambda handler, content: server.serve(handler, content, send=8 << 16), times)


@pytest.mark.parametrize(("ranges", "md5", "times", "asked"), [
    (True, MD5, 1, [None, "bytes=524288-"]),
    (False, MD5, 2, [None, "bytes=524288-", "bytes=524288-"]),  # a server without ranges starts over
    (True, None, 1, [None, None]),  # without a checksum nothing is resumed
])  # fmt: skip
def test_truncated_transfer_is_resumed(server, tmp_path, ranges, md5, times, asked):
    server.supports_range = ranges
    cut_first(server, times)
    assert data.fetch(entry(server, md5=md5), tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.ranges == asked
    assert names(tmp_path) == ["a.gz", "a.gz.source.json"]


def test_resumed_in_a_later_call(server, tmp_path):
    cut_first(server, 2)
    with pytest.raises(FetchError, match=r"failed or broke.*524,288 bytes are kept for the next fetch"):
        data.fetch(entry(server, md5=MD5), tmp_path, attempts=1, **QUICK)
    assert names(tmp_path) == ["a.gz.part"]
    assert data.fetch(entry(server, md5=MD5), tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.ranges[-1] == "bytes=524288-"


@pytest.mark.parametrize("size", [500_000, len(CONTENT), len(CONTENT) + 1])
def test_part_of_another_file_is_not_glued_to_this_one(server, tmp_path, size):
    (tmp_path / "a.gz.part").write_bytes(bytes(size))
    assert data.fetch(entry(server, md5=MD5), tmp_path, **QUICK).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={size}-", None]


def test_wrong_range_starts_over(server, tmp_path):
    (tmp_path / "a.gz.part").write_bytes(CONTENT[:500_000])

    def wrong(handler, content):
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    faulty(server, wrong)
    assert data.fetch(entry(server, md5=MD5), tmp_path, **QUICK).read_bytes() == CONTENT


def test_interrupt_keeps_the_part_and_no_file(server, tmp_path, monkeypatch):
    cut_first(server, 1)
    with monkeypatch.context() as patch:
        patch.setattr(downloads.time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            data.fetch(entry(server, md5=MD5), tmp_path, **QUICK)
    assert names(tmp_path) == ["a.gz.part"]
    assert data.fetch(entry(server, md5=MD5), tmp_path, **QUICK).read_bytes() == CONTENT


# A bad server ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [(404, "moved"), (403, "proxy refuses"), (401, "needs a login"), (410, "removed it"), (418, "browser")],
)
def test_refusals_are_final(server, tmp_path, code, message):
    server.behaviours["/a.gz"] = lambda handler, content: handler.send_error(code)
    with pytest.raises(FetchError, match=rf"/a.gz must be there to fetch, .*answered {code}.*{message}"):
        data.fetch(entry(server), tmp_path, **QUICK)
    assert len(server.requests) == 1
    assert names(tmp_path) == []


def test_passing_faults_are_tried_again(server, tmp_path):
    codes = [503, 429, 500]
    faulty(server, lambda handler, content: handler.send_error(codes.pop()), 3)
    assert data.fetch(entry(server), tmp_path, **QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 4


def test_waits_double(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    faulty(server, lambda handler, content: handler.send_error(503), 9)
    with pytest.raises(FetchError, match=r"within 4 attempts.*the server answered 503"):
        data.fetch(entry(server), tmp_path, attempts=4, wait=1.0, progress=False)
    assert (waits, len(server.requests), names(tmp_path)) == ([1.0, 2.0, 4.0], 4, [])


@pytest.mark.parametrize("begins", [True, False])
def test_silent_server_times_out(server, tmp_path, begins):
    asleep = threading.Event()

    def silent(handler, content):
        if begins:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content[:1000])
            handler.wfile.flush()
        asleep.wait(5)

    server.behaviours["/a.gz"] = silent
    began = time.monotonic()
    with pytest.raises(FetchError, match=r"within 1 attempts.*Read timed out"):
        data.fetch(entry(server), tmp_path, progress=False, wait=0.0, timeout=0.3, attempts=1)
    asleep.set()
    assert time.monotonic() - began < 4


def test_no_server_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(FetchError, match=r"within 2 attempts.*Connection refused"):
        data.fetch(toy(f"http://127.0.0.1:{port}/a.gz"), tmp_path, attempts=2, **QUICK)


def test_offline_is_said_at_once(tmp_path, monkeypatch):
    def no_names(*arguments, **named):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    for proxy in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with pytest.raises(FetchError, match=r"genome.invalid must be reachable.*offline\?.*copy it here"):
        data.fetch(toy("http://genome.invalid/a.gz"), tmp_path, **QUICK)
    assert names(tmp_path) == []


# Content that is not right --------------------------------------------------------------------------------------------


def corrupt(content: bytes) -> bytes:
    damaged = bytearray(content)
    damaged[700_000] ^= 0xFF
    return bytes(damaged)


def test_corrupted_once_is_fetched_again(server, tmp_path):
    faulty(server, lambda handler, content: server.serve(handler, corrupt(content)))
    assert data.fetch(entry(server, md5=MD5), tmp_path, **QUICK).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize(("stated", "message"), [
    ({"md5": MD5}, rf"expected md5:{MD5} but got .*MD5 in the catalogue.*nothing was kept"),
    ({"size": 17}, r"must have 17 bytes, and 1,024,[0-9]+ came"),
])  # fmt: skip
def test_what_is_not_as_stated_is_not_kept(server, tmp_path, stated, message):
    server.files["/a.gz"] = corrupt(CONTENT)
    with pytest.raises(FetchError, match=rf"/a.gz must be what was published.*{message}"):
        data.fetch(entry(server, **stated), tmp_path, **QUICK)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("listed", "checked"), [
    (f"{'0' * 32}  other.gz\n{MD5}  ./a.gz\n", True),
    (f"MD5 (a.gz) = {MD5}\n", True),
    (f"{MD5}\n", True),
    ("nothing of that kind\n", False),
    (None, False),
])  # fmt: skip
def test_published_list_of_checksums(server, tmp_path, listed, checked):
    if listed is not None:
        server.files["/MD5SUMS"] = listed.encode()
    listing = entry(server, checksum_url=server.url("/MD5SUMS"))
    record = record_of(data.fetch(listing, tmp_path, **QUICK))
    assert record["checked_against"].startswith("MD5 at http" if checked else "nothing stated")
    if checked:
        server.files["/a.gz"] = corrupt(CONTENT)
        with pytest.raises(FetchError, match=r"expected md5:.*Checked against MD5 at http"):
            data.fetch(listing, tmp_path / "again", **QUICK)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.gz", b"<html>Log in to the network</html>", "a whole gzip file"),
    ("a.gz", corrupt(CONTENT), "a whole gzip file"),
    ("a.gz", CONTENT[:-8], "a whole gzip file"),
    ("a.parquet", b"PAR1 and then nothing", "a whole parquet file"),
    ("a.bed", b"<!DOCTYPE html><html></html>", "data, and it is a web page"),
    ("a.bed", b"", "a file with content"),
])  # fmt: skip
def test_wrong_kind_is_found_without_a_checksum(server, tmp_path, name, content, message):
    server.files[f"/{name}"] = content
    with pytest.raises(FetchError, match=rf"/{name} must be what was published, but: it must be {message}"):
        data.fetch(entry(server, f"/{name}"), tmp_path, **QUICK)
    assert names(tmp_path) == []


def test_first_fetch_is_what_later_ones_are_checked_against(server, tmp_path):
    path = data.fetch(entry(server), tmp_path, **QUICK)
    path.unlink()
    server.files["/a.gz"] = gzip.compress(b"a new release")
    with pytest.raises(FetchError, match=r"the SHA-256 of its first fetch; use --force"):
        data.fetch(entry(server), tmp_path, **QUICK)
    assert not path.exists()
    assert data.fetch(entry(server), tmp_path, force=True, **QUICK).read_bytes() == server.files["/a.gz"]


def test_file_damaged_on_this_machine(server, tmp_path):
    path = data.fetch(entry(server), tmp_path, **QUICK)
    path.write_bytes(corrupt(CONTENT))
    with pytest.raises(FetchError, match=r"recorded when it was fetched.*Fetch it again with --force|--force"):
        data.fetch(entry(server), tmp_path, **QUICK)


def test_file_copied_here_by_hand(server, tmp_path):
    (tmp_path / "a.gz").write_bytes(CONTENT)
    data.fetch(entry(server, md5=MD5), tmp_path, **QUICK)
    record = record_of(tmp_path / "a.gz")
    assert "found" in record and record["checked_against"] == "MD5 in the catalogue"
    (tmp_path / "a.gz").write_bytes(corrupt(CONTENT))
    (tmp_path / "a.gz.source.json").unlink()
    with pytest.raises(FetchError, match=r"MD5 that its publisher states"):
        data.fetch(entry(server, md5=MD5), tmp_path, **QUICK)
    assert server.requests == []


# This machine ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "while writing"])
def test_full_disk_leaves_nothing(server, tmp_path, monkeypatch, when):
    if when == "before":
        (tmp_path / "a.gz.part").write_bytes(CONTENT[:1000])
        monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000))
    elif Path("/dev/full").exists():
        (tmp_path / "a.gz.part").symlink_to("/dev/full")
    else:
        pytest.skip("a device that is always full is Linux's")
    with pytest.raises(OSError, match=r"a.gz must fit on the disk.*Nothing half-written is left") as caught:
        data.fetch(entry(server, md5=MD5), tmp_path, **QUICK)
    assert caught.value.errno == errno.ENOSPC
    assert names(tmp_path) == []


def test_two_fetches_of_one_file_at_a_time(server, tmp_path):
    held = filelock.FileLock(tmp_path / "a.gz.part.lock")
    with held, pytest.raises(FetchError, match=r"a.gz.part is held by another"):
        data.fetch(entry(server), tmp_path, **QUICK)
    assert data.fetch(entry(server), tmp_path, **QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["ftp://example.org/a.gz", "file:///etc/hostname", "a.gz"])
def test_other_kinds_of_address_are_refused(tmp_path, url):
    with pytest.raises(ValueError, match=r"must begin with http:// or https://"):
        data.fetch(toy(url), tmp_path, **QUICK)


def test_attempts_must_be_positive(server, tmp_path):
    with pytest.raises(ValueError, match=r"attempts must be at least 1; received 0"):
        data.fetch(entry(server), tmp_path, attempts=0, **QUICK)


# Names ----------------------------------------------------------------------------------------------------------------


def test_unknown_names_propose_the_nearest():
    with pytest.raises(ValueError, match=r"received 'chr2o'\. Did you mean 'chr20'"):
        data.bundle("chr2o")
    with pytest.raises(ValueError, match=r"received 'gencode-37'\. Did you mean 'gencode-grch37'"):
        data.fetch("gencode-37")


@pytest.fixture
def released(server, tmp_path, monkeypatch):
    """A server with the clone's data/ as a release has it, and an empty NTVIZ_DATA."""
    clone = environment.project_dir() / "data"
    sums = [line.split("  ") for line in (clone / "checksums.sha256").read_text().splitlines()]
    small = {path: digest for digest, path in sums if (clone / path).stat().st_size < 40_000}
    server.files |= {f"/v1/{path}": (clone / path).read_bytes() for path in small}
    monkeypatch.setenv("NTVIZ_BUNDLE", server.url("/v1/"))
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path / "data"))
    listing = tmp_path / "checksums.sha256"
    listing.write_text("".join(f"{digest}  {path}\n" for path, digest in small.items()))
    monkeypatch.setattr(data, "__file__", str(tmp_path / "__init__.py"))
    return small


def test_the_bundle_is_fetched_file_by_file_with_its_checksums(server, released, tmp_path, monkeypatch):
    folder = data.fetch("bundle", **QUICK)
    assert folder == tmp_path / "data"
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in found.items()} == released
    asked = len(server.requests)
    assert data.fetch("bundle", **QUICK) == folder and len(server.requests) == asked
    one, other = sorted(released)[:2]
    (folder / one).unlink()
    assert data.fetch("bundle", **QUICK) == folder and server.requests[asked:] == [f"/v1/{one}"]
    # What is damaged here, or on its way, is named; nothing of it stays.
    (folder / one).write_bytes(b"cut")
    with pytest.raises(FetchError, match=rf"must have its published checksums, but {one} differ.*--force"):
        data.fetch("bundle", **QUICK)
    assert data.fetch("bundle", force=True, **QUICK) and (folder / one).read_bytes() == server.files[f"/v1/{one}"]
    (folder / other).unlink()
    server.files[f"/v1/{other}"] = b"something else"
    with pytest.raises(FetchError, match=r"Checked against the SHA-256 of the bundle.*nothing was kept"):
        data.fetch("bundle", **QUICK)
    assert not (folder / other).exists()
    monkeypatch.delenv("NTVIZ_BUNDLE")
    with pytest.raises(
        FetchError, match=r"lacks 1 of its \d+ files. Run `pip install ntviz-data`, or set NTVIZ_BUNDLE"
    ):
        data.fetch("bundle", **QUICK)


def test_the_bundle_of_a_clone_is_checked_where_it_is():
    assert data.fetch("bundle") == environment.project_dir() / "data"
    assert data.look_at_bundle().level == "ok"


def test_missing_bundle_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"chr20 must be at .*Run `python data/build.py`.*NTVIZ_DATA"):
        data.bundle("chr20")
    with pytest.raises(FileNotFoundError, match=r"build.py --extra`.*NTVIZ_CACHE"):
        data.local("chrX-70mb")
    for path in ("genome/chr20.GRCh37.fa.gz", "genes/chr20.GRCh37.gtf.gz", "ntviz-mini"):
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
    finding = data.look_at_bundle()  # the defaults can work without motifs
    assert finding.level == "warn" and finding.what.endswith("lacks motifs, motif-families, ci-spliceai, backgrounds")
    monkeypatch.setattr(environment, "project_dir", lambda: None)
    with pytest.raises(
        FileNotFoundError, match=r"Run `pip install ntviz-data` or `ntviz data fetch bundle`, or set NTVIZ_DATA"
    ):
        data.bundle("motifs")


def test_known_lists_everything(monkeypatch, tmp_path):
    table = data.known()
    assert list(table.columns) == ["name", "kind", "here", "version", "files", "licence", "what", "path"]
    assert table["name"].is_unique
    here = table.set_index("name")["here"]
    assert here["chr20"]
    assert not here["grch38"]
    assert (table["licence"].str.len() > 0).all()
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    assert not data.known()["here"].any()


def test_catalogue_holds_what_is_promised():
    promised = "grch37 grch38 gencode-grch37 gencode-grch38 ccres-grch38 clinvar-grch37 clinvar-grch38"
    assert set(promised.split()) <= set(data.CATALOGUE)
    assert data.fetch("genes") == data.bundle("genes")
    for item in data.CATALOGUE.values():
        paths = [Path(file.path) for file in item.files]
        assert item.version and len(set(paths)) == len(paths)
        assert not any(path.is_absolute() or ".." in path.parts for path in paths)
        for file in item.files:
            assert urlsplit(file.url).scheme == "https"
            # Pinned: nothing that moves under the same address.
            assert not any(moving in file.url for moving in ("latest", "/main/", "/current"))


@pytest.mark.parametrize("name", ["tasks-revised", "tasks-revised-fasta", "tasks-original-fasta"])
def test_each_benchmark_has_18_tasks_in_two_splits(name):
    item = data.CATALOGUE[name]
    assert len(item.parts) == 18
    assert len(item.files) == 36
    own = [file for file in item.files if file.path.split("/")[0] == "enhancers"]
    assert list(item.part("enhancers").files) == own
    assert len(item.part("enhancers").files) == 2


# The Hugging Face Hub -------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(server, monkeypatch):
    """A data set of two tasks on a server that speaks as much of the hub's protocol as a download uses."""
    address = server.url("/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    folder = f"/datasets/someone/tasks/resolve/{REVISION}"
    paths = [f"{task}/{split}.fna" for task in ("x", "y") for split in ("train", "test")]
    server.files |= {f"{folder}/{path}": f">{path}\nACGT\n".encode() for path in paths}
    files = tuple(File(path, server.url(f"{folder}/{path}")) for path in paths)
    return External("tasks", "v1", "toy tasks", "CC0", files, "someone/tasks", REVISION)


def test_files_of_the_hub_come_at_their_revision(server, tmp_path, hub):
    folder = data.fetch(hub.part("x"), tmp_path, **QUICK)
    assert names(folder / "x") == ["test.fna", "test.fna.source.json", "train.fna", "train.fna.source.json"]
    assert (folder / "x" / "test.fna").read_text() == ">x/test.fna\nACGT\n"
    asked = len(server.requests)
    data.fetch(hub.part("x"), tmp_path, **QUICK)
    assert len(server.requests) == asked
    server.files[urlsplit(hub.files[0].url).path] = b">other\nACGT\n"
    (folder / "x" / "train.fna").unlink()
    with pytest.raises(FetchError, match=r"must be what was published.*SHA-256 of its first fetch"):
        data.fetch(hub.part("x"), tmp_path, **QUICK)


def test_refusals_of_the_hub_are_said(server, tmp_path, hub, monkeypatch):
    absent = server.files.pop(urlsplit(hub.files[0].url).path)
    with pytest.raises(FetchError, match=r"x/train.fna must be there.*answered 404.*moved or removed"):
        data.fetch(hub, tmp_path, **QUICK)
    server.files[urlsplit(hub.files[0].url).path] = absent
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match=r"HF_HUB_OFFLINE must not be set.*copy it here"):
        data.fetch(hub, tmp_path, **QUICK)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def unreachable(*names: object, **options: object) -> None:
        raise httpx.ConnectError("no route")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(FetchError, match=r"huggingface.co must be reachable.*no route.. Are you offline"):
        data.fetch(hub, tmp_path, **QUICK)
    assert names(tmp_path / "x") == []
