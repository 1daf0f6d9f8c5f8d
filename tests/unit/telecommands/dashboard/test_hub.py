from __future__ import annotations

from telecommands.dashboard.hub import MOST_WAITING, Hub, Mailbox


def _mailbox(*keys: str) -> tuple[Mailbox, list[None]]:
    woken: list[None] = []
    mailbox = Mailbox(lambda: woken.append(None))
    mailbox.keys = frozenset(keys)
    return mailbox, woken


def test_a_page_gets_what_it_subscribed_to() -> None:
    hub = Hub()
    (one, _), (other, _) = _mailbox("a"), _mailbox("b")
    hub.add(one)
    hub.add(other)
    hub.publish("a", b"1")
    hub.publish_all([b"2"])
    assert one.take() == (0, [b"1", b"2"])
    assert other.take() == (0, [b"2"])
    assert hub.wants("a")
    hub.remove(one)
    assert not hub.wants("a")


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
