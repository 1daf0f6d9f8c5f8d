"""The progress bar of a transfer, down or up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


@contextmanager
def transfer_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows a file's name, its bytes stored and all its bytes, on a terminal only.

    It begins again with the next file, of which fewer bytes are stored.
    """
    console = Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal:
        yield lambda _name, _stored, _total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", visible=False)
        before = 0

        def show(name: str, stored: int, total: int) -> None:
            nonlocal before
            if stored < before:
                progress.reset(task)
            before = stored
            progress.update(task, description=name, completed=stored, total=total, visible=True)

        yield show
