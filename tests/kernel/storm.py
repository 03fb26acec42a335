"""Datagrams to ports where nobody is, as fast as the kernel takes them: sendmmsg(2)."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterable

BATCH = 1024
"""UIO_MAXIOV: what one sendmmsg() takes."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Piece(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.c_void_p),
        ("pieces_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


class Volley:
    """One datagram to each of many IPv4 ends, to be sent as often as wanted."""

    def __init__(self, ends: Iterable[tuple[str, int]]) -> None:
        names = b"".join(
            struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))
            for host, port in ends
        )
        self._names = ctypes.create_string_buffer(names, len(names))
        self._payload = ctypes.create_string_buffer(b"storm")
        self._piece = _Piece(ctypes.addressof(self._payload), 5)
        self._messages = (_Message * (len(names) // 16))()
        for number, message in enumerate(self._messages):
            header = message.header
            header.name = ctypes.addressof(self._names) + 16 * number
            header.name_length = 16
            header.pieces = ctypes.addressof(self._piece)
            header.pieces_length = 1

    def send(self, sender: socket.socket) -> int:
        """Send all of them; returns how many. Raises OSError."""
        done = 0
        while done < len(self._messages):
            rest = ctypes.byref(self._messages, done * ctypes.sizeof(_Message))
            at_once = min(BATCH, len(self._messages) - done)
            sent = _libc.sendmmsg(sender.fileno(), rest, at_once, 0)
            if sent < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            done += sent
        return done
