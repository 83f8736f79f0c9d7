"""papermill's engine with what a job needs besides: a watch on cells, memory and progress, and clear endings."""

from __future__ import annotations

import contextlib
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
from papermill.engines import NotebookExecutionManager

from ntviz.environment.reporting import METADATA_KEY
from ntviz.runs.kernel import Specs

SAVE_EVERY = 30.0  # s between two states of the executed notebook while it runs
START_TIMEOUT = 120  # s; a cold import of ipykernel on a busy network disk takes a while
LAST_WORDS = 30  # lines
# IPython's own ask the kernel to end soon: the cell goes on, and the next one finds it dead.
QUIT = "type(quit).__call__ = lambda self, code=None: __import__('sys').exit(code)"
_SIGNALS = {9: "SIGKILL, often for memory", 11: "SIGSEGV, a crash in compiled code", 6: "SIGABRT"}
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
    """What the engine tells while it runs, the kernel's environment, and what it has seen."""

    save: Callable[[], None]
    advance: Callable[[], None]
    log: Callable[[str], None] | None
    environment: dict[str, str]
    cell: int = 0
    peak_memory: int | None = None
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
    manager = _Manager(notebook, output_path=None, progress_bar=False, autosave_cell_every=0)
    manager.watch = watch
    manager.notebook_start()
    with tempfile.TemporaryDirectory(prefix="ntviz-", ignore_cleanup_errors=True) as sockets:
        client = _Client(manager, sockets, kernel_name=kernel, timeout=None, startup_timeout=START_TIMEOUT)
        try:
            client.execute(**client.start_options)
        except DeadKernelError as error:
            raise KernelError(client.obituary()) from error
        except CellTimeoutError as error:
            raise KernelError(f"the kernel did not answer in time: {error}") from error
        finally:
            client.words.close()
            manager.notebook_complete()
            notebook.metadata.pop("widgets", None)
    if client.failure is not None:
        raise CellError(client.failure.ename, client.failure.evalue)


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


class _Client(PapermillNotebookClient):
    """Runs the cells; widgets' state is not kept, since reports and untrusted notebooks cannot show it."""

    def __init__(self, nb_man: _Manager, sockets: str, **kwargs: Any) -> None:
        super().__init__(nb_man, store_widget_state=False, coalesce_streams=True, **kwargs)
        self.failure: CellExecutionError | None = None
        # The kernel's own words, such as a crash report: shown only when it dies, since cells' output comes by messages.
        self.words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the kernel
        self.start_options = {"env": nb_man.watch.environment, "stdout": self.words, "stderr": self.words}
        self._sockets = sockets
        self._process: Any = None

    def create_kernel_manager(self) -> AsyncKernelManager:
        manager = AsyncKernelManager(kernel_name=self.kernel_name, kernel_spec_manager=Specs())
        if sys.platform != "win32" and len(self._sockets) <= LONGEST_SOCKET_FOLDER:
            # Sockets in a folder of our own: nobody else on the node can connect, and no two jobs take one port.
            manager.transport = "ipc"
            manager.connection_file = f"{self._sockets}/kernel.json"
        self.km = manager
        return manager

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        try:
            answer = super().start_new_kernel_client(**kwargs)
        except RuntimeError as error:
            raise KernelError(
                "\n".join([f"the kernel did not start: {error}", *self.last_words()])
            ) from error
        # Provisioners of other packages may start kernels elsewhere, without a process of ours.
        self._process = getattr(getattr(self.km, "provisioner", None), "process", None)
        return answer

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
                peak = _peak_memory(getattr(self._process, "pid", None))
                self.nb_man.watch.peak_memory = max(peak or 0, self.nb_man.watch.peak_memory or 0) or None
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        content = msg.get("content", {})
        state = (content.get("metadata") or {}).get(METADATA_KEY)
        if state and self.nb_man.watch.log is not None:
            self.nb_man.watch.log(content["data"]["text/plain"])
        return super().process_message(msg, cell, cell_index)

    def obituary(self) -> str:
        """What is known of the end of the kernel's process, with its last words."""
        code = self._process.poll() if self._process is not None else None
        if code is None or code >= 0:
            end = f"the kernel's process ended{f' with exit code {code}' if code is not None else ''}"
        else:
            end = (
                f"the kernel's process was killed by signal {-code} ({_SIGNALS.get(-code, 'see `kill -l`')})"
            )
        return "\n".join([end, *self.last_words()])

    def last_words(self) -> list[str]:
        """The last lines that the kernel's process itself wrote, outside of any cell's output."""
        self.words.seek(0)
        return self.words.read().decode(errors="replace").splitlines()[-LAST_WORDS:]


def _peak_memory(pid: int | None) -> int | None:
    """Largest resident memory of a process so far, in bytes; off Linux, of all child processes that have ended."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError):
            status = Path(f"/proc/{pid}/status").read_text()
            return int(status.partition("VmHWM:")[2].split()[0]) * 1024 if "VmHWM:" in status else None
    if sys.platform in ("linux", "win32"):
        return None
    import resource

    # macOS counts bytes here, where other systems count KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss or None
