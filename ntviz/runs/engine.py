"""papermill's engine with what a job needs besides: a watch on cells, memory and progress, and clear endings."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager

from ntviz.environment.reporting import METADATA_KEY
from ntviz.runs.kernel import Specs

SAVE_EVERY = 30.0  # s between two states of the executed notebook while it runs
START_TIMEOUT = 120  # s; a cold import of ipykernel on a busy network disk takes a while
START_TRIES = 3
LAST_WORDS = 30  # lines
# IPython's own ask the kernel to end soon: the cell goes on, and the next one finds it dead.
QUIT = "type(quit).__call__ = lambda self, code=None: __import__('sys').exit(code)"
LONGEST_SOCKET_FOLDER = 80  # characters; systems allow 104 to 108 for the whole path of a socket


class CellError(Exception):
    """A cell raised: `name` and `message` of its exception."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


class KernelError(Exception):
    """The kernel's process ended by itself, or never answered."""


@dataclass
class Watch:
    """What the engine tells while it runs, and what it has seen."""

    save: Callable[[], None]
    advance: Callable[[], None]
    log: Callable[[str], None] | None
    environment: dict[str, str]
    cell: int = 0
    peak_memory: int | None = None
    sockets: str = ""
    saved_at: float = field(default_factory=time.monotonic)


def execute(notebook: NotebookNode, kernel: str, watch: Watch) -> None:
    """Execute the cells of `notebook` in place.

    Raises
    ------
    CellError
        If a cell raises.
    KernelError
        If the kernel's process ends or does not start.
    KeyboardInterrupt
        If this process is interrupted; the kernel is interrupted and shut down first.
    """
    _Engine.execute_notebook(notebook, kernel, progress_bar=False, autosave_cell_every=0, watch=watch)


class _Manager(NotebookExecutionManager):
    """Keeps papermill's books; saving is ours, since papermill's own leaves a half-written file on a full disk."""

    watch: Watch

    def save(self, **kwargs: Any) -> None:
        if "watch" in vars(self) and time.monotonic() - self.watch.saved_at >= SAVE_EVERY:
            self.watch.save()
            self.watch.saved_at = time.monotonic()

    def cell_start(self, cell: NotebookNode, cell_index: int | None = None, **kwargs: Any) -> None:
        self.watch.cell = cell_index or 0
        super().cell_start(cell, cell_index, **kwargs)

    def cell_complete(self, cell: NotebookNode, cell_index: int | None = None, **kwargs: Any) -> None:
        super().cell_complete(cell, cell_index=cell_index, **kwargs)
        if cell.metadata.papermill["status"] == self.COMPLETED:
            self.watch.advance()


class _Engine(Engine):
    @classmethod
    def execute_notebook(  # ty: ignore[incompatible-method-override]
        cls, nb: NotebookNode, kernel_name: str, *, watch: Watch, **kwargs: Any
    ) -> NotebookNode:
        manager = _Manager(nb, output_path=None, progress_bar=False, autosave_cell_every=0)
        manager.watch = watch
        manager.notebook_start()
        watch.sockets = _socket_folder()
        client = _Client(manager, kernel_name=kernel_name, timeout=None, startup_timeout=START_TIMEOUT)
        try:
            client.execute(**client.start_options)
        except DeadKernelError as error:
            raise KernelError(client.obituary()) from error
        except CellTimeoutError as error:
            raise KernelError(f"the kernel did not answer in time: {error}") from error
        finally:
            client.close()
            manager.notebook_complete()
            nb.metadata.pop("widgets", None)
            if watch.sockets:
                shutil.rmtree(watch.sockets, ignore_errors=True)
        if client.failure is not None:
            raise CellError(client.failure.ename, client.failure.evalue)
        return nb


class _Client(PapermillNotebookClient):
    """Runs the cells; widgets' state is not kept, since reports and untrusted notebooks cannot show it."""

    def __init__(self, nb_man: _Manager, **kwargs: Any) -> None:
        super().__init__(nb_man, store_widget_state=False, coalesce_streams=True, **kwargs)
        self.failure: CellExecutionError | None = None
        # The kernel's own words, such as a crash report: shown only when it dies, since cells' output comes by messages.
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the kernel
        self.start_options = {"env": nb_man.watch.environment, "stdout": self._words, "stderr": self._words}
        self._pid: int | None = None
        self._process: Any = None

    def create_kernel_manager(self) -> AsyncKernelManager:
        manager = AsyncKernelManager(kernel_name=self.kernel_name, kernel_spec_manager=Specs())
        folder = self.nb_man.watch.sockets
        if folder:
            # Sockets in a folder of our own: nobody else on the node can connect, and no two jobs take one port.
            manager.transport = "ipc"
            manager.connection_file = f"{folder}/{secrets.token_hex(3)}.json"
        self.km = manager
        return manager

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        # Many jobs that start on one node at once can pick the same port: only starting is tried again.
        for attempt in range(START_TRIES):
            try:
                answer = super().start_new_kernel_client(**kwargs)
                # Provisioners of other packages may start kernels elsewhere, without a process of ours.
                provisioner = getattr(self.km, "provisioner", None)
                self._pid = getattr(provisioner, "pid", None)
                self._process = getattr(provisioner, "process", None)
                return answer
            except RuntimeError as error:
                if attempt == START_TRIES - 1:
                    said = "\n".join(
                        [f"the kernel did not start, in {START_TRIES} tries: {error}", *self.last_words()]
                    )
                    raise KernelError(said) from error
                self.create_kernel_manager()
                self.start_new_kernel(**self.start_options)
        raise AssertionError("unreachable")

    def papermill_execute_cells(self) -> None:
        self.kc.execute(QUIT, silent=True, stop_on_error=False)  # ty: ignore[missing-union-attribute]
        for index, cell in enumerate(self.nb.cells):
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
            except CellExecutionError as failure:
                self.failure = failure
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=failure)
                break
            except BaseException:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
                raise
            finally:
                self._note_memory()
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        content = msg.get("content", {})
        state = (content.get("metadata") or {}).get(METADATA_KEY)
        if state and self.nb_man.watch.log is not None:
            self.nb_man.watch.log(content["data"]["text/plain"])
        return super().process_message(msg, cell, cell_index)

    def _note_memory(self) -> None:
        peak = _peak_memory(self._pid)
        if peak is not None:
            self.nb_man.watch.peak_memory = max(peak, self.nb_man.watch.peak_memory or 0)

    def obituary(self) -> str:
        """What is known of the end of the kernel's process, with its last words."""
        code = self._process.poll() if self._process is not None else None
        if code is None or code >= 0:
            end = f"the kernel's process ended{f' with exit code {code}' if code is not None else ''}"
        else:
            reason = {
                -9: "SIGKILL, often for memory",
                -11: "SIGSEGV, a crash in compiled code",
                -6: "SIGABRT",
            }
            end = f"the kernel's process was killed by signal {-code} ({reason.get(code, 'see `kill -l`')})"
        return "\n".join([end, *self.last_words()])

    def last_words(self) -> list[str]:
        """The last lines that the kernel's process itself wrote, outside of any cell's output."""
        self._words.seek(0)
        return self._words.read().decode(errors="replace").splitlines()[-LAST_WORDS:]

    def close(self) -> None:
        """Give the file with the kernel's words back."""
        self._words.close()


def _socket_folder() -> str:
    """Folder for the kernel's sockets; empty where they must go over TCP, for want of short paths or of sockets."""
    if sys.platform == "win32":
        return ""
    folder = tempfile.mkdtemp(prefix="ntviz-")
    if len(folder) <= LONGEST_SOCKET_FOLDER:
        return folder
    os.rmdir(folder)
    return ""


def _peak_memory(pid: int | None) -> int | None:
    """Largest resident memory of a process so far, in bytes; off Linux, of all child processes that have ended."""
    if sys.platform == "linux":
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            return None
        return None
    if sys.platform == "win32":
        return None
    import resource

    # macOS counts bytes here, where other systems count KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss or None
