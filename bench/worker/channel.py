"""The wire between parent and worker: one message a line, over a socket of its own.

Standard output and standard error belong to the frameworks; nothing here reads them.
`protocol` says what a line may be.
"""

import socket
import time

LONGEST = 64 * 2**20  # bytes of a line: the losses of three million steps


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the wire."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = bytearray()

    def send(self, line: bytes) -> None:
        """Send a line without a newline. Raises ChannelClosed where nobody listens any more."""
        self.connection.settimeout(None)
        try:
            self.connection.sendall(line + b"\n")
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout_s: float | None = None) -> bytes:
        """Sleep until one line has arrived, and return it without its newline.

        Raises TimeoutError after `timeout_s` seconds, ChannelClosed where the other side is gone,
        and ValueError for a line of more than LONGEST bytes.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > LONGEST:
                raise ValueError(f"a line of more than {LONGEST // 2**20} MiB")
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise TimeoutError
            self.connection.settimeout(remaining)
            try:
                received = self.connection.recv(1 << 16)
            except ConnectionError as error:
                raise ChannelClosed(str(error)) from None
            if not received:
                raise ChannelClosed("end of file")
            self.buffer += received
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line

    def unread(self) -> bool:
        """Whether the other side has said something that was not received yet."""
        self.connection.settimeout(0)
        try:
            return bool(self.buffer or self.connection.recv(1, socket.MSG_PEEK))
        except OSError:  # nothing, or nobody
            return False

    def close(self) -> None:
        self.connection.close()
