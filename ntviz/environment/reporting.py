"""What the person is shown: progress as a bar, a Jupyter display or lines of a batch log; and notes on inputs."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Generic, TextIO, TypeVar

from ntviz.environment.machine import in_jupyterlab

Item = TypeVar("Item")

PATIENCE = 1.0  # s; loops shorter than this show nothing
LIVE_EVERY = 0.5  # s between two states of a bar that a person watches
BATCH_SHARE = 0.05  # share of the whole between two lines of a batch log ...
BATCH_EVERY = 300.0  # ... or this many seconds, whichever comes first
METADATA_KEY = "ntviz_progress"  # marks our displays, so that `ntviz run` can pass them on to its log

listeners: list[Callable[[str], None]] = []
"""Who is given the notes of `tell`: the command, and the run of a notebook. The library itself prints nothing."""


def tell(note: str) -> None:
    """Give a note on an input, such as lines that could not be read, to all `listeners`."""
    for listener in listeners if note else ():
        listener(note)


def duration(seconds: float) -> str:
    """Seconds as people read them.

    Examples
    --------
    >>> duration(7.2), duration(75), duration(3723)
    ('0:07', '1:15', '1:02:03')
    """
    minutes, whole = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"


def kernel_shell() -> Any:
    """The IPython shell of this kernel; None outside of one. IPython is looked up, not imported."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None


class Progress(Generic[Item]):
    """Progress of a loop, as an iterable or as a context with `update`; made by `progress`."""

    def __init__(
        self,
        iterable: Iterable[Item] | None = None,
        *,
        total: int | None = None,
        what: str = "",
        unit: str = "",
        batch_share: float = BATCH_SHARE,
        surface: str | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self.what, self.unit, self.note, self.done = what or "progress", unit, "", 0
        self._iterable, self._batch_share, self._clock = iterable, batch_share, clock
        self._stream = sys.stderr if stream is None else stream
        self._started = self._shown_at = clock()
        self._shown, self._shown_share = False, 0.0
        self._handle: Any = None
        if surface is None and kernel_shell() is not None:
            surface = "jupyter" if in_jupyterlab() else "kernel"
        self.surface = surface or ("terminal" if self._stream.isatty() else "batch")

    def __iter__(self) -> Iterator[Item]:
        if self._iterable is None:
            raise TypeError(
                "progress() must be given an iterable to loop over, but it got none. "
                "Pass one, or use it as `with progress(total=n) as bar:` with bar.update()"
            )
        with self:
            for item in self._iterable:
                yield item
                self.update()

    def __enter__(self) -> Progress[Item]:
        self._started = self._shown_at = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        seconds = self._clock() - self._started
        if seconds < PATIENCE and not self._shown:
            return
        # A loop that is left by `break` closes the generator, which is not a failure but not the end either.
        if kind is None or (kind is GeneratorExit and self.done == self.total):
            state = f"{self._count()} in {duration(seconds)}{self._rate(seconds)}"
        else:
            of = f" of {self.total:,}" if self.total else ""
            state = f"stopped at {self.done:,}{of} after {duration(seconds)}"
        self._show(state, final=True)

    def update(self, n: int = 1, *, note: str = "") -> None:
        """Count `n` more as done; `note` is a few words for the end of the line, such as the current loss."""
        self.done += n
        self.note = note or self.note
        now, live = self._clock(), self.surface in ("terminal", "jupyter")
        if now - self._started < PATIENCE or self.done == self.total:
            return  # Too short to be shown, or about to be followed by the final line.
        share = self.done / self.total if self.total else 0.0
        since = now - self._shown_at
        if live:
            due = since >= LIVE_EVERY or not self._shown
        else:
            enough = share - self._shown_share >= self._batch_share or since >= BATCH_EVERY
            due = since >= PATIENCE and enough
        if due:
            self._shown_at, self._shown_share = now, share
            self._show(self._state(now - self._started))

    def _state(self, seconds: float) -> str:
        if not self.total:
            return f"{self._count()} so far{self._rate(seconds)}"
        left = seconds / self.done * (self.total - self.done) if self.done else 0.0
        return f"{100 * self.done / self.total:3.0f} % ({self.done:,} of {self.total:,}), {duration(left)} left"

    def _count(self) -> str:
        return f"{self.done:,} {self.unit}".rstrip()

    def _rate(self, seconds: float) -> str:
        # Of slow things the time is enough.
        return f", {self.done / seconds:,.0f} a second" if seconds > 0 and self.done >= 10 * seconds else ""

    def _show(self, state: str, *, final: bool = False) -> None:
        self._shown = True
        line = f"{self.what}: {state}" + (f", {self.note}" if self.note else "")
        if self.surface in ("jupyter", "kernel"):
            self._display(line, final)
            return
        if self.surface == "terminal":
            filled = round(20 * min(self.done / self.total, 1.0)) if self.total and not final else 0
            bar = f"[{'#' * filled}{'.' * (20 - filled)}] " if self.total and not final else ""
            # "\x1b[K" clears what is left of a longer line before.
            line = f"\r{bar}{line}\x1b[K"
        self._stream.write(line + "\n" * (final or self.surface == "batch"))
        self._stream.flush()

    def _display(self, line: str, final: bool) -> None:
        # One display that is updated leaves exactly one output in the notebook: the final state.
        from IPython.display import display

        bar = ""
        if not final and self.total:
            bar = f"<progress value='{self.done}' max='{self.total}' aria-label='{html.escape(self.what)}'></progress> "
        bundle = {"text/plain": line, "text/html": f"<div>{bar}{html.escape(line)}</div>"}
        metadata = {METADATA_KEY: "final" if final else "running"}
        if self._handle is None:
            self._handle = display(bundle, raw=True, metadata=metadata, display_id=True)
        else:
            self._handle.update(bundle, raw=True, metadata=metadata)


def progress(
    iterable: Iterable[Item] | None = None, *, total: int | None = None, what: str = "", unit: str = ""
) -> Progress[Item]:
    """Progress of a loop, or of a ``with`` block with `update`, shown where this process is watched.

    A terminal gets a bar, JupyterLab one display that is updated, a batch log one line every five per cent or five
    minutes; each ends in one line with the total and the time. A loop of less than a second shows nothing.

    Parameters
    ----------
    iterable, total
        What to loop over, and how many there are where it has no length.
    what, unit
        What is being done, such as "scoring variants", and what is counted, such as "tokens".

    Examples
    --------
    >>> with progress(total=100, what="training", unit="tokens") as bar:
    ...     bar.update(60, note="loss 7.61")
    >>> bar.done
    60
    """
    return Progress(iterable, total=total, what=what, unit=unit)
