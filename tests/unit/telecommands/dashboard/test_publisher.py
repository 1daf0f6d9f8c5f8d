from __future__ import annotations

from telecommands.dashboard.publisher import MOST_WAITING, Mailbox, Publisher


def _mailbox(*keys: str) -> tuple[Mailbox, list[None]]:
    woken: list[None] = []
    mailbox = Mailbox(lambda: woken.append(None))
    mailbox.keys = frozenset(keys)
    return mailbox, woken


def test_a_page_gets_what_it_subscribed_to() -> None:
    publisher = Publisher()
    (one, _), (other, _) = _mailbox("a"), _mailbox("b")
    publisher.add(one)
    publisher.add(other)
    publisher.publish("a", b"1")
    publisher.publish_all([b"2"])
    assert one.take() == (0, [b"1", b"2"])
    assert other.take() == (0, [b"2"])
    assert publisher.wants("a")
    publisher.remove(one)
    assert not publisher.wants("a")


def test_a_slow_page_loses_the_oldest_messages_and_gets_their_number() -> None:
    mailbox, woken = _mailbox()
    for number in range(MOST_WAITING + 7):
        mailbox.post(str(number).encode())
    lagged, messages = mailbox.take()
    assert (lagged, messages[0]) == (7, b"7")
    assert len(woken) == 1
    while not mailbox.is_empty:
        lagged, messages = mailbox.take()
        assert lagged == 0
    assert messages[-1] == str(MOST_WAITING + 6).encode()
