"""Room for new products: what the quota and the disk ask for is taken from the old ones."""

from __future__ import annotations

from collections.abc import Collection

from flightsw.downlink.catalogue import ProductCatalogue
from flightsw.errors import DiskFull
from telecommands.dictionary import ProductRecord
from telecommands.units import size


def make_room(
    catalogue: ProductCatalogue,
    needed_bytes: int,
    *,
    quota_bytes: int,
    disk_bytes: int,
    keep_job: str | None = None,
    under_transfer: Collection[str] = (),
) -> tuple[ProductRecord, ...]:
    """Remove products until ``needed_bytes`` fit; the removed ones, as they were before.

    ``quota_bytes`` is what all products may take, ``disk_bytes`` what the disk can still hold
    (free space less the reserve; may be negative).  Products of ``keep_job`` stay; those
    ``under_transfer`` go last.  Raises :class:`DiskFull`, with nothing removed, if that would
    not be enough.
    """
    room = min(quota_bytes - catalogue.bytes_on_board(), disk_bytes)
    chosen: list[ProductRecord] = []
    candidates = [record for record in catalogue.removable() if record.job != keep_job]
    candidates.sort(key=lambda record: record.product in under_transfer)
    for record in candidates:
        if room >= needed_bytes:
            break
        chosen.append(record)
        room += record.size
    if room < needed_bytes:
        raise DiskFull(
            "the products",
            f"need {size(needed_bytes)}, but at most {size(max(room, 0))} can be freed",
            "Raise storage.quota_bytes, free the disk, or ask for fewer products",
            needed_bytes=needed_bytes,
            free_bytes=max(room, 0),
        )
    for record in chosen:
        catalogue.delete(record.product)
    return tuple(chosen)
