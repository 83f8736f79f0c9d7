"""papermill's client with what a job needs besides: a watch on cells, memory and progress, and clear endings."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import nbclient.client
import psutil
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager

from ntviz.environment.reporting import METADATA_KEY
from ntviz.runs.handle import DIR_VARIABLE, PROFILE_VARIABLE
from ntviz.runs.kernel import Specs

SAVE_EVERY = 30.0  # s between two states of the executed notebook while it runs
START_TIMEOUT = 120  # s; a cold import of ipykernel on a busy network disk takes a while
LAST_WORDS = 30  # lines
LONGEST_SOCKET_FOLDER = 80  # characters; systems allow 104 to 108 for the whole path of a socket
BEGIN = """
# IPython's own ask the kernel to end soon: the cell goes on, and the next one finds it dead.
type(quit).__call__ = lambda self, code=None: __import__('sys').exit(code)
# The run listens from its first cell on, whether the notebook asks for it or not.
__import__('ntviz.runs').runs.current()
"""
# Of a kernel that has run another notebook: no name, figure or value of that is left, but modules and loaded models are.
_RENEW = """
__import__("os").environ.update({environment!r})
__import__("os").chdir({folder!r})
__import__("sys").modules.get("matplotlib.pyplot") and __import__("matplotlib.pyplot").pyplot.close("all")
torch = __import__("sys").modules.get("torch")
for device in range(torch.cuda.device_count() if torch and torch.cuda.is_initialized() else 0):
    torch.cuda.reset_peak_memory_stats(device)
get_ipython().reset(new_session=True)
__import__("gc").collect()
"""
_KEEP = '__import__("ntviz.models.checkpoints").models.checkpoints.kept = {}\n'
_SIGNALS = {9: "SIGKILL, often for memory", 11: "SIGSEGV, a crash in compiled code", 6: "SIGABRT"}

_shared: dict[str, _Client] | None = None
"""Within `shared`, the client that ran the last notebook, by kernel."""

# nbclient's own begins anywhere, so that a printed line of a million characters takes hours.
nbclient.client._RGX_CARRIAGERETURN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)


class CellError(Exception):
    """A cell raised: `name` and `message` of its exception."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


class KernelError(Exception):
    """The kernel's process ended by itself, or never answered."""


@dataclass
class Watch:
    """What the engine calls while it runs, the kernel's environment, and what it has seen."""

    save: Callable[[], None]
    advance: Callable[[], None]
    log: Callable[[str], None] | None
    environment: dict[str, str]
    cell: int = 0
    peak_memory: int = 0
    saved_at: float = field(default_factory=time.monotonic)


def execute(notebook: NotebookNode, kernel: str, watch: Watch) -> None:
    """Execute the cells of `notebook` in place; `CellError` if one raises, `KernelError` if the kernel ends or does not start.

    On KeyboardInterrupt the kernel is interrupted and shut down first.
    """
    books = NotebookExecutionManager(notebook, progress_bar=False, autosave_cell_every=0)
    books.notebook_start()
    options: dict[str, Any] = {"kernel_name": kernel, "timeout": None, "startup_timeout": START_TIMEOUT}
    client = _Client(books, watch, (_shared or {}).pop(kernel, None), **options)
    try:
        client.execute(env=watch.environment, stdout=client.words, stderr=client.words, cleanup_kc=_shared is None)
        if _shared is not None:
            _shared[kernel] = client
    except DeadKernelError as error:
        raise KernelError(client.obituary()) from error
    except CellTimeoutError as error:
        raise KernelError(f"the kernel did not answer in time: {error}") from error
    finally:
        if _shared is None or kernel not in _shared:
            client.close()
        books.notebook_complete()
        notebook.metadata.pop("widgets", None)
    if client.failure is not None:
        raise CellError(client.failure.ename, client.failure.evalue)


@contextlib.contextmanager
def shared() -> Generator[None]:
    """Meanwhile notebooks run in one kernel, one after the other: what they import and the models they load are kept."""
    global _shared
    _shared = {}
    try:
        yield
    finally:
        clients, _shared = _shared, None
        for client in clients.values():
            client.close()


def started(kernel: str) -> bool:
    """Whether a kernel of that name has run a notebook within `shared`."""
    return kernel in (_shared or {})


class _Client(PapermillNotebookClient):
    """Runs the cells; widgets' state is not kept, since reports and untrusted notebooks cannot show it."""

    def __init__(self, books: NotebookExecutionManager, watch: Watch, before: _Client | None, **kwargs: Any) -> None:
        super().__init__(books, km=before and before.km, store_widget_state=False, coalesce_streams=True, **kwargs)
        self.watch, self.failure, self.renewed = watch, None, before is not None
        self.kc, self._process = (before.kc, before._process) if before else (None, None)
        # The kernel's own words, such as a crash report, are shown only when it dies: cells' output comes by messages.
        self.words: IO[bytes] = before.words if before else tempfile.TemporaryFile()  # noqa: SIM115
        folder = before.folder if before else tempfile.TemporaryDirectory(prefix="ntviz-", ignore_cleanup_errors=True)
        self.folder, self.sockets = folder, folder.name

    def close(self) -> None:
        """Ends the kernel, if it is there, and removes what it used."""
        if self.km is not None:
            self._cleanup_kernel()
        self.words.close()
        self.folder.cleanup()

    def create_kernel_manager(self) -> AsyncKernelManager:
        manager = AsyncKernelManager(kernel_name=self.kernel_name, kernel_spec_manager=Specs())
        if sys.platform != "win32" and len(self.sockets) <= LONGEST_SOCKET_FOLDER:
            # Sockets in a folder of our own: nobody else on the node can connect, and no two jobs take one port.
            manager.transport = "ipc"
            manager.connection_file = f"{self.sockets}/kernel.json"
        self.km = manager
        return manager

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        try:
            answer = super().start_new_kernel_client(**kwargs)
        except RuntimeError as error:
            raise KernelError("\n".join([f"the kernel did not start: {error}", *self.last_words()])) from error
        # Provisioners of other packages may start kernels elsewhere, without a process of ours.
        self._process = getattr(getattr(self.km, "provisioner", None), "process", None)
        return answer

    def papermill_execute_cells(self) -> None:
        begin = BEGIN if _shared is None or self.renewed else BEGIN + _KEEP
        if self.renewed:
            own = {name: self.watch.environment[name] for name in (DIR_VARIABLE, PROFILE_VARIABLE)}
            begin = _RENEW.format(environment=own, folder=os.getcwd()) + BEGIN
            with contextlib.suppress(OSError):  # the peak of memory begins anew
                Path(f"/proc/{getattr(self._process, 'pid', None)}/clear_refs").write_text("5")
        self.kc.execute(begin, silent=True, stop_on_error=False)  # ty: ignore[missing-union-attribute]
        for index, cell in enumerate(self.nb.cells):
            self.watch.cell = index
            self.nb_man.cell_start(cell, index)
            try:
                self.execute_cell(cell, index)
                self.watch.advance()
            except CellExecutionError as failure:
                self.failure = failure
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=failure)
                break
            except BaseException:
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index)
                raise
            finally:
                peak = _peak_memory(getattr(self._process, "pid", None))
                self.watch.peak_memory = max(peak, self.watch.peak_memory)
                self.nb_man.cell_complete(self.nb.cells[index], cell_index=index)

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        content = msg.get("content", {})
        if (content.get("metadata") or {}).get(METADATA_KEY) and self.watch.log is not None:
            self.watch.log(content["data"]["text/plain"])
        output = super().process_message(msg, cell, cell_index)
        if time.monotonic() - self.watch.saved_at >= SAVE_EVERY:
            # Not papermill's own, which leaves a half-written file on a full disk.
            self.watch.save()
            self.watch.saved_at = time.monotonic()
        return output

    def obituary(self) -> str:
        """What is known of the end of the kernel's process, with its last words."""
        code = self._process.poll() if self._process is not None else None
        end = "ended" if code is None else f"ended with exit code {code}"
        if code is not None and code < 0:
            end = f"was killed by signal {-code} ({_SIGNALS.get(-code, 'see `kill -l`')})"
        return "\n".join([f"the kernel's process {end}", *self.last_words()])

    def last_words(self) -> list[str]:
        """The last lines that the kernel's process itself wrote, outside of any cell's output."""
        self.words.seek(0)
        return self.words.read().decode(errors="replace").splitlines()[-LAST_WORDS:]


def _peak_memory(pid: int | None) -> int:
    """Largest resident memory of a process so far, in bytes; off Linux its memory now; 0 if it is gone."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).memory_info().rss if pid else 0
    return 0
