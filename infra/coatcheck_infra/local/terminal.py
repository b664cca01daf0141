"""Writes to the terminal: whole lines, each after the label of the process that wrote it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.text import Text

LineWriter = Callable[[str], None]

COLOURS = {
    "up": "bold",
    "aws": "magenta",
    "api": "cyan",
    "admin": "cyan",
    "worker": "green",
    "deliverer": "green",
    "sweeper": "yellow",
    "gateway": "blue",
    "build": "blue",
}
WIDTH = max(map(len, COLOURS))


class Terminal:
    """Writes the lines of all processes. One writer in one thread, so lines never mix.

    Colours appear only on a terminal, and not with NO_COLOR (rich handles both). When the reader is gone, as after
    `coatcheck up | head`, this process gets a SIGTERM.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._keep: LineWriter = lambda _: None

    def also_keep(self, keep: LineWriter) -> None:
        """Give each further line with its label to `keep` as well."""
        self._keep = keep

    def line_writer(self, label: str) -> LineWriter:
        """Return a function that writes a line under `label`, in its colour if it has one."""
        name = Text(f"{label:<{WIDTH}} │ ", style=COLOURS.get(label, ""), end="")

        def write(line: str) -> None:
            self._write(name, Text(line))
            self._keep(f"{name}{line}")

        return write

    def show(self, what: RenderableType) -> None:
        """Write `what` as it is, without a label."""
        self._write(what)

    def _write(self, *what: RenderableType) -> None:
        # do not end because a line cannot be written, as on a full disk or a closed terminal
        with contextlib.suppress(OSError):
            try:
                self._console.print(*what, sep="")
            except SystemExit:  # rich raises this on a broken pipe
                signal.raise_signal(signal.SIGTERM)
