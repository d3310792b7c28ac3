"""The wire between parent and worker: one message a line, over a socket of its own.

Standard output and standard error belong to the frameworks; nothing here reads them.
`protocol` says what a line may be.
"""

import socket
import time


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the wire."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""

    def send(self, line: bytes) -> None:
        """Send a line without a newline. Raises ChannelClosed where nobody listens any more."""
        self.connection.settimeout(None)
        try:
            self.connection.sendall(line + b"\n")
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout_s: float | None = None) -> bytes:
        """Sleep until one line has arrived, and return it without its newline.

        Raises TimeoutError after `timeout_s` seconds, ChannelClosed where the other side is gone.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self.buffer:
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
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line

    def close(self) -> None:
        self.connection.close()
