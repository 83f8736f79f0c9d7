"""The command `ntviz`, and `python -m ntviz`."""

from __future__ import annotations

import _thread
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn


class _Interrupted(KeyboardInterrupt):
    """A subclass, since Python ends by the signal, not by an exit code, if KeyboardInterrupt itself passed an exec."""


class _Patient(io.TextIOWrapper):
    """A standard stream that is quiet once nobody reads it, as after `| head`: the work and its exit code go on."""

    quiet: tuple[int, ...] = (errno.EPIPE,)

    def write(self, text: str) -> int:
        return self._tried(super().write, text) or len(text)

    def flush(self) -> None:
        self._tried(super().flush)

    def _tried(self, act: Callable[..., Any], *values: str) -> Any:
        try:
            return act(*values)
        except OSError as error:
            if error.errno not in self.quiet:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def _patient(stream: Any) -> Any:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    encoding, errors, terminal = stream.encoding, stream.errors, stream.isatty()
    patient = _Patient(stream.detach(), encoding, errors, line_buffering=True)
    # A terminal that was closed says EIO.
    patient.quiet = (errno.EPIPE, errno.EIO) if terminal else patient.quiet
    return patient


def main() -> None:
    """Run the command; interrupted at any moment, while it is loaded too, it ends in one line with exit code 130."""
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable
    try:
        from ntviz.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("ntviz: interrupted\n")
        sys.exit(130)


def _interrupt(number: int, frame: Any) -> NoReturn:
    raise _Interrupted


def _unraisable(lost: Any) -> None:
    """An interruption that fell into a callback, as imports have them, comes again; everything else is as it was."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        threading.Timer(0.05, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


if __name__ == "__main__":
    main()
