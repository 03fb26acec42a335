"""ADDRESS:PORT on the command line."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

import click

from tracer.addresses import unmapped

_ENDPOINT = re.compile(r"(?:\[(?P<six>[^\]]*)\]|(?P<four>[^:\[\]]*)):(?P<port>\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """An address as the kernel's dumps print it, its scope (an interface) or empty, and a port."""

    address: str
    scope: str
    port: int

    @property
    def is_link_local(self) -> bool:
        """Whether the address is meant on one link only, which has to be named."""
        return ipaddress.ip_address(self.address).is_link_local and ":" in self.address

    @property
    def is_multicast(self) -> bool:
        """Whether the address is a group's."""
        return ipaddress.ip_address(self.address).is_multicast


def endpoint(ctx: click.Context, param: click.Parameter, value: str) -> Endpoint:
    """What ``10.0.0.1:53``, ``[2001:db8::1]:53`` or ``[fe80::1%eth0]:53`` means."""
    match = _ENDPOINT.fullmatch(value)
    if match is None:
        what = "is not ADDRESS:PORT (IPv6 as [2001:db8::1]:53)"
        raise click.BadParameter(f"{value!r} {what}", ctx, param)
    address, _, scope = (match["six"] or match["four"] or "").partition("%")
    family = socket.AF_INET if match["six"] is None else socket.AF_INET6
    try:
        text = socket.inet_ntop(family, socket.inet_pton(family, address))
    except (OSError, ValueError):
        why = f"{address!r} is no address (names are not resolved)"
        raise click.BadParameter(f"{value!r}: {why}", ctx, param) from None
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise click.BadParameter(f"{value!r}: {port} is no port from 1 to 65535", ctx, param)
    # On the wire a mapped address is IPv4.
    return Endpoint(unmapped(text), scope, port)
