"""The wire between parent and worker, over real sockets."""

import socket
import threading
from collections.abc import Iterator

import pytest

from bench.worker.channel import Channel, ChannelClosed


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def channel(sockets: tuple[socket.socket, socket.socket]) -> Channel:
    return Channel(sockets[0])


@pytest.fixture
def far(sockets: tuple[socket.socket, socket.socket]) -> socket.socket:
    """The other side, which can send what it likes."""
    return sockets[1]


def test_a_message_larger_than_any_buffer_goes_there_and_back(
    channel: Channel, far: socket.socket
) -> None:
    message = b"0.1, " * 500_000

    def echo() -> None:
        other = Channel(far)
        other.send(other.receive())

    there = threading.Thread(target=echo)
    there.start()
    channel.send(message)
    assert channel.receive(timeout_s=60) == message
    there.join()


def test_messages_that_arrive_together_are_received_one_by_one(
    channel: Channel, far: socket.socket
) -> None:
    far.sendall(b"first\nsecond\n\n")
    assert [channel.receive() for _ in range(3)] == [b"first", b"second", b""]


def test_what_was_sent_and_not_received_is_known(channel: Channel, far: socket.socket) -> None:
    assert not channel.unread()
    far.sendall(b"first\nsec")
    assert channel.unread()
    channel.receive()
    assert channel.unread()
    with pytest.raises(TimeoutError):
        channel.receive(timeout_s=0.01)
    far.close()
    channel.buffer.clear()
    assert not channel.unread()


def test_a_line_without_an_end_is_refused(
    channel: Channel, far: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.worker.channel.LONGEST", 2**10)
    far.sendall(bytes(2**12))
    with pytest.raises(ValueError, match="a line of more than"):
        channel.receive(timeout_s=60)


def test_a_message_that_never_comes_is_a_timeout(channel: Channel) -> None:
    with pytest.raises(TimeoutError):
        channel.receive(timeout_s=0.01)


def test_a_message_that_comes_in_part_is_a_timeout_until_the_rest_is_there(
    channel: Channel, far: socket.socket
) -> None:
    far.sendall(b"a line")
    with pytest.raises(TimeoutError):
        channel.receive(timeout_s=0.01)
    far.sendall(b" in parts\n")
    assert channel.receive() == b"a line in parts"


def test_a_timeout_does_not_outlive_its_call(channel: Channel, far: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        channel.receive(timeout_s=0.01)
    later = threading.Timer(0.2, far.sendall, [b"late\n"])
    later.start()
    assert channel.receive() == b"late"
    later.join()


def test_what_was_sent_before_the_end_is_received_first(
    channel: Channel, far: socket.socket
) -> None:
    Channel(far).send(b"last words")
    far.close()
    assert channel.receive() == b"last words"
    with pytest.raises(ChannelClosed, match="end of file"):
        channel.receive()


def test_an_end_in_the_middle_of_a_message_is_no_message(
    channel: Channel, far: socket.socket
) -> None:
    far.sendall(b"no end")
    far.close()
    with pytest.raises(ChannelClosed):
        channel.receive()


def test_a_peer_that_ends_with_unread_messages_is_closed(
    channel: Channel, far: socket.socket
) -> None:
    channel.send(b"a line")
    far.close()
    with pytest.raises(ChannelClosed):
        channel.receive()


def test_sending_to_a_closed_peer_says_so(channel: Channel, far: socket.socket) -> None:
    far.close()
    with pytest.raises(ChannelClosed):
        channel.send(b"a line")
