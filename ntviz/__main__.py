"""`python -m ntviz` is the command `ntviz`."""

from __future__ import annotations

from ntviz.cli import main

if __name__ == "__main__":
    main()
