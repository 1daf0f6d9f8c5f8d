"""Publishes a product completely or not at all: a hidden folder, renamed at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from telecommands.ground.errors import ProductExists, product_error
from telecommands.whole_file import sync_folder


@contextmanager
def hidden_folder(out: Path) -> Iterator[Path]:
    """Yield a new hidden folder in ``out`` (created if absent), which is always removed.

    Raises :class:`OutputNotWritable` or :class:`DiskFull` for errors of the system while
    the folder is in use.
    """
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    folder: Path | None = None
    published = False
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".groundsim-", dir=out))
        yield folder
        published = True
    except OSError as error:
        raise product_error(out, error) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if not published:
            for made in missing:
                with suppress(OSError):  # not empty
                    made.rmdir()


def publish(hidden: Path, out: Path, names: tuple[str, ...], *, force: bool) -> None:
    """Move the named entries from the hidden folder to ``out``; the last completes it."""
    refuse_existing(out, names, force=force)
    retired = hidden / "replaced"
    retired.mkdir()
    for name in names:
        if (out / name).exists():
            (out / name).rename(retired / name)
        (hidden / name).rename(out / name)
    for folder in (hidden, out):
        sync_folder(folder)


def refuse_existing(out: Path, names: tuple[str, ...], *, force: bool) -> None:
    """Raise :class:`ProductExists` if one of the entries exists."""
    for name in names:
        if (out / name).exists() and not force:
            raise ProductExists(
                out / name, "already exists", "Remove it, choose another seed, or give --force"
            )
