"""Products on board: which there are, whose turn it is, and which the ground has.

Any thread may call; each call is one transaction of the state file, and nothing is kept in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from flightsw.downlink.taken import forget_taken
from flightsw.errors import OutputNotWritable
from flightsw.host.disk import sync
from flightsw.state import StateFile
from telecommands.dictionary import (
    Code,
    DownlinkClass,
    ListProducts,
    ProductCounts,
    ProductKind,
    ProductList,
    ProductRecord,
    ProductState,
)
from telecommands.failure import reason_of
from telecommands.refusal import Refusal

CLASS_OF: Final[Mapping[ProductKind, DownlinkClass]] = MappingProxyType(
    {
        "report": DownlinkClass.SUMMARY,
        "stac": DownlinkClass.SUMMARY,
        "geotiff": DownlinkClass.MASK,
        "cog": DownlinkClass.MASK,
        "classes": DownlinkClass.MASK,
        "mask": DownlinkClass.IMAGERY,  # the large form of what the GeoTIFF holds
        "fill": DownlinkClass.IMAGERY,
        "probability": DownlinkClass.IMAGERY,
        "quicklook": DownlinkClass.IMAGERY,
    }
)

_ORDER: Final = tuple(DownlinkClass)
_ON_BOARD: Final = tuple(state for state in ProductState if state is not ProductState.DELETED)


class NewProduct(msgspec.Struct, frozen=True):
    """A finished file: its length in bytes, SHA-256 in hexadecimal, clear share of its scene."""

    kind: ProductKind
    path: Path
    size: int
    sha256: str
    clear: float


class StoredProduct(msgspec.Struct, frozen=True):
    """A product and the path of its file."""

    record: ProductRecord
    path: Path


class ProductCatalogue:
    """The durable product queue.

    Order of downlink: priority (9 first), class, clearest scene, oldest; what fits in the contact
    may go before what does not.  Only QUEUED products are downlinked.

    DELETED is always true: the file is removed first, then its record is marked.  A crash between
    the two leaves a record without a file, which deleting again, or the next attempt to send it,
    marks DELETED; never a file that no record counts.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state

    def add(
        self, job: str, products: Sequence[NewProduct], now_ns: int
    ) -> tuple[ProductRecord, ...]:
        """Queue a job's products; inside the transaction that ends the job, if there is one."""
        with self._state.transaction() as db:
            names = [f"{job}.{one.kind}.{number}" for number, one in enumerate(products, 1)]
            for name, one in zip(names, products, strict=True):
                downlink_class = CLASS_OF[one.kind]
                db.execute(
                    "INSERT INTO products (product, job, kind, downlink_class, class_order, name,"
                    " path, size, sha256, state, clear, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        name, job, one.kind, downlink_class.value, _ORDER.index(downlink_class),
                        one.path.name, str(one.path), one.size, one.sha256,
                        ProductState.QUEUED.value, one.clear, now_ns,
                    ),
                )  # fmt: skip
            return tuple(self.stored(name).record for name in names)

    def next(self, skip: Collection[str] = (), room_bytes: float = inf) -> StoredProduct | None:
        """The product whose turn it is, leaving out those to ``skip``; None: none waits.

        If ``room_bytes`` do not hold it and the ground has nothing of it yet, one of the same
        priority that they hold goes first.
        """
        first = self._waiting("", skip)
        if first is None or first.record.confirmed or first.record.size <= room_bytes:
            return first
        return (
            self._waiting(
                " AND priority = ? AND size - confirmed <= ?",
                skip,
                first.record.priority,
                int(room_bytes),
            )
            or first
        )

    def stored(self, product: str) -> StoredProduct:
        """A product by its id.  :class:`Refusal` UNKNOWN_PRODUCT."""
        with self._state.reading() as db:
            found = _stored(db.execute(f"{_PRODUCT} WHERE product = ?", (product,)))
        if not found:
            cure = "See LIST_PRODUCTS for the ids"
            raise Refusal(Code.UNKNOWN_PRODUCT, f"product {product} does not exist", cure)
        return found[0]

    def has_of(self, job: str) -> bool:
        """Whether a job has products, or had some that are deleted."""
        with self._state.reading() as db:
            found = db.execute("SELECT 1 FROM products WHERE job = ? LIMIT 1", (job,)).fetchone()
        return found is not None

    def hold(self, product: str) -> ProductRecord:
        """Keep a waiting product from being downlinked.  :class:`Refusal` PRODUCT_STATE."""
        with self._state.transaction() as db:
            self._in_state(product, ProductState.QUEUED, ProductState.HELD)
            db.execute("UPDATE products SET state = 'HELD' WHERE product = ?", (product,))
            return self.stored(product).record

    def release(self, product: str) -> ProductRecord:
        """Let a held product be downlinked, or a delivered one again.  Refused if deleted."""
        with self._state.transaction() as db:
            if self._in_state(product, *_ON_BOARD).state is ProductState.DELIVERED:
                db.execute(
                    "UPDATE products SET confirmed = 0, delivered_at = NULL WHERE product = ?",
                    (product,),
                )
            db.execute("UPDATE products SET state = 'QUEUED' WHERE product = ?", (product,))
            return self.stored(product).record

    def prioritise(self, product: str, priority: int) -> ProductRecord:
        """Send a waiting or held product before all of lower priority (0 to 9)."""
        with self._state.transaction() as db:
            self._in_state(product, ProductState.QUEUED, ProductState.HELD)
            db.execute("UPDATE products SET priority = ? WHERE product = ?", (priority, product))
            return self.stored(product).record

    def delete(self, product: str) -> ProductRecord:
        """Remove a product's file, then mark it DELETED; deleting again changes nothing.

        Raises :class:`OutputNotWritable` if the file cannot be removed: all stays as it was.
        """
        with self._state.transaction() as db:
            stored = self.stored(product)
            if stored.record.state is not ProductState.DELETED:
                _remove(stored)
                forget_taken(self._state, product)
                db.execute("UPDATE products SET state = 'DELETED' WHERE product = ?", (product,))
            return self.stored(product).record

    def confirm(self, product: str, offset: int) -> None:
        """Keep how many bytes the last receiver said to have stored: a hint where to resume."""
        with self._state.transaction() as db:
            db.execute("UPDATE products SET confirmed = ? WHERE product = ?", (offset, product))

    def delivered(self, product: str, sha256: str, now_ns: int) -> bool:
        """Whether the product became DELIVERED just now; False: it was before.

        :class:`Refusal` PRODUCT_STATE if it is deleted, BAD_ARGUMENTS if the receiver's
        SHA-256 is not ours.  A held product that the receiver has whole is delivered as well.
        """
        with self._state.transaction() as db:
            record = self._in_state(product, *_ON_BOARD)
            if sha256 != record.sha256:
                cause = f"{product} has SHA-256 {record.sha256}, the receiver got {sha256}"
                raise Refusal(Code.BAD_ARGUMENTS, cause, "Receive it again from the start")
            if record.state is ProductState.DELIVERED:
                return False
            db.execute(
                "UPDATE products SET state = 'DELIVERED', confirmed = size, delivered_at = ?"
                " WHERE product = ?",
                (now_ns, product),
            )
            return True

    def distrust(self, products: Collection[str] | None) -> tuple[str, ...]:
        """Hold those of the products that wait: their records are older versions.

        None: any record may be one.  Such a product may have been delivered; ground decides.
        """
        with self._state.transaction() as db:
            rows = db.execute("SELECT product FROM products WHERE state = 'QUEUED'").fetchall()
            held = tuple(name for (name,) in rows if products is None or name in products)
            for name in held:
                self.hold(name)
        return held

    def list(self, request: ListProducts) -> ProductList:
        """Products in the order of downlink, then the others, newest first."""
        states = _json(state.value for state in request.states or tuple(ProductState))
        with self._state.reading() as db:
            total = db.execute(
                "SELECT COUNT(*) FROM products WHERE state IN (SELECT value FROM json_each(?))",
                (states,),
            ).fetchone()[0]
            found = db.execute(
                f"{_PRODUCT} WHERE state IN (SELECT value FROM json_each(?))"  # noqa: S608
                " ORDER BY state = 'QUEUED' DESC,"
                " CASE state WHEN 'QUEUED' THEN priority END DESC,"
                " CASE state WHEN 'QUEUED' THEN class_order END,"
                " CASE state WHEN 'QUEUED' THEN clear END DESC,"
                " CASE state WHEN 'QUEUED' THEN number ELSE -number END LIMIT ? OFFSET ?",
                (states, request.limit, request.skip),
            )
            return ProductList(products=tuple(one.record for one in _stored(found)), total=total)

    def counts(self) -> ProductCounts:
        """Products by state, and the bytes that wait for downlink."""
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT state, COUNT(*), SUM(size) FROM products GROUP BY state"
            ).fetchall()
        by_state = {state.lower(): count for state, count, _ in rows}
        waiting = sum(size for state, _, size in rows if state == ProductState.QUEUED)
        return ProductCounts(**by_state, queued_bytes=waiting)

    def bytes_on_board(self) -> int:
        """Bytes of all products that are not deleted."""
        with self._state.reading() as db:
            query = "SELECT COALESCE(SUM(size), 0) FROM products WHERE state != 'DELETED'"
            return int(db.execute(query).fetchone()[0])

    def removable(self) -> tuple[ProductRecord, ...]:
        """Products in the order in which the quota takes them.

        Delivered ones, oldest delivery first; then lowest priority, last class, cloudiest, oldest.
        """
        with self._state.reading() as db:
            found = db.execute(
                f"{_PRODUCT} WHERE state != 'DELETED' ORDER BY state = 'DELIVERED' DESC,"
                " delivered_at, priority, class_order DESC, clear, number"
            )
            return tuple(one.record for one in _stored(found))

    def _waiting(self, condition: str, skip: Collection[str], *values: int) -> StoredProduct | None:
        with self._state.reading() as db:
            found = _stored(
                db.execute(
                    f"{_PRODUCT} WHERE state = 'QUEUED'"  # noqa: S608
                    f" AND product NOT IN (SELECT value FROM json_each(?)){condition}"
                    " ORDER BY priority DESC, class_order, clear DESC, number LIMIT 1",
                    (_json(skip), *values),
                )
            )
        return found[0] if found else None

    def _in_state(self, product: str, *states: ProductState) -> ProductRecord:
        record = self.stored(product).record
        if record.state not in states:
            allowed = " or ".join(state.value for state in states)
            cause = f"{product} is {record.state.value}, not {allowed}"
            raise Refusal(Code.PRODUCT_STATE, cause)
        return record


_PRODUCT: Final = (
    "SELECT product, job, kind, downlink_class, name, size, sha256, state, priority, clear,"
    " created_at, confirmed, path FROM products"
)


def _stored(found: sqlite3.Cursor) -> tuple[StoredProduct, ...]:
    fields = [column[0] for column in found.description]
    return tuple(_product(dict(zip(fields, row, strict=True))) for row in found)


def _product(row: dict[str, Any]) -> StoredProduct:
    path = Path(row.pop("path"))
    return StoredProduct(msgspec.convert(row, ProductRecord), path)


def _json(values: Iterable[str]) -> str:
    return msgspec.json.encode(tuple(values)).decode()


def _remove(stored: StoredProduct) -> None:
    """Remove the file permanently, and its job's folder once that is empty."""
    folder = stored.path.parent
    try:
        stored.path.unlink(missing_ok=True)
        if folder.is_dir():
            sync(folder)  # else a power cut could bring the file back, uncounted
    except OSError as error:
        cure = "Give the service the right to write the folder"
        raise OutputNotWritable(
            stored.path, f"cannot be removed ({reason_of(error)})", cure
        ) from error
    if folder.name == stored.record.job:
        with suppress(OSError):  # gone, or not empty yet
            folder.rmdir()
