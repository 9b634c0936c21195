"""Messages over a stream socket: a length in four bytes, then msgpack."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

LENGTH = Struct("<I")


class Wire:
    """One end of the connection between the guest's process and its compile worker."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def send(self, message: Any) -> None:
        """Send one message; raises OSError when the other side is gone."""
        import msgpack

        data: bytes = msgpack.packb(message)
        self._socket.sendall(LENGTH.pack(len(data)) + data)

    def receive(self) -> Any:
        """The next message; raises EOFError at the end and OSError for a broken connection."""
        import msgpack

        (size,) = LENGTH.unpack(self._exactly(LENGTH.size))
        return msgpack.unpackb(self._exactly(size), use_list=False, strict_map_key=False)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
