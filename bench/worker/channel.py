"""The wire between parent and worker: one JSON object a line, over a socket of its own.

Standard output and standard error belong to the frameworks; nothing here reads them.
"""

import json
import socket
import time
from typing import Any


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """One end of the wire."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send one object. Raises ChannelClosed where nobody listens any more."""
        self.connection.settimeout(None)
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ChannelClosed(str(error)) from None

    def receive(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Sleep until one object has arrived.

        Raises TimeoutError after `timeout_s` seconds, ChannelClosed where the other side is gone,
        ValueError where what came is not one JSON object.
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
        try:
            message = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(message, dict):
            raise ValueError(f"{line[:80]!r} is not a JSON object")
        return message

    def close(self) -> None:
        self.connection.close()
