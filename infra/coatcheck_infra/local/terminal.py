"""What is said on the terminal: whole lines, each behind the name of the part that speaks."""

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
    "worker": "green",
    "deliverer": "green",
    "sweeper": "yellow",
    "gateway": "blue",
    "build": "blue",
}
WIDTH = max(map(len, COLOURS))


class Terminal:
    """Writes the lines of all parts. One writer in one thread: no line is torn by another.

    Colours come out on a terminal only, and not with NO_COLOR (rich sees to both). When nobody reads any more, as
    after `coatcheck up | head`, this process gets a SIGTERM.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def line_writer(self, label: str) -> LineWriter:
        """What writes a line of `label`."""
        name = Text(f"{label:<{WIDTH}} │ ", style=COLOURS[label], end="")
        return lambda line: self._write(name, Text(line))

    def show(self, what: RenderableType) -> None:
        """Write `what` as it is, without a name before it."""
        self._write(what)

    def _write(self, *what: RenderableType) -> None:
        # a line that cannot be written, to a full disk or a terminal that was closed, is no reason to end
        with contextlib.suppress(OSError):
            try:
                self._console.print(*what, sep="")
            except SystemExit:  # what rich makes of a broken pipe
                signal.raise_signal(signal.SIGTERM)
