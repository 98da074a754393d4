# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where acme.sh answers a challenge itself: the port must be free, and one attempt at a time has it."""

import errno
import os
import shutil
import socket
from contextlib import ExitStack

from . import commands, state
from .failure import Failed, Failure
from .order import Order

#: What acme.sh listens with, whichever of them is there.
_LISTENERS = {"no": ("socat", "python3", "python"), "alpn": ("openssl",)}
_WORDS = {"no": "http-01 in mode standalone", "alpn": "tls-alpn-01"}


def prepare(held: ExitStack, order: Order) -> None:
    """Takes the port for this attempt and looks whether anybody else has it; raises Failed saying who."""
    challenge = order.challenge
    if challenge.port is None:
        return
    words = _WORDS[challenge.webroot]
    programs = _LISTENERS[challenge.webroot]
    if not any(shutil.which(name, path=commands.SEARCH_PATH) for name in programs):
        told = "%s needs %s on the issuer: install it" % (words, " or ".join(programs[:2]))
        raise Failed(Failure("invalid_request", told))
    path = os.path.join(state.directory("locks"), "port-%d" % challenge.port)
    held.enter_context(state.lock(path, order.timeout, "port %d for %s" % (challenge.port, words)))
    problem = _taken(challenge.port)
    if problem:
        told = "%s cannot listen on port %d of the issuer: %s"
        raise Failed(Failure("invalid_request", told % (words, challenge.port, problem)))


def _taken(port: int) -> str:
    """Why nobody can listen on a port; "" when it is free."""
    for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((everywhere, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                told = "another program has it. Stop that, or let it answer by itself"
                return told + " (http-01 in mode stateless or webroot)"
            if error.errno in (errno.EACCES, errno.EPERM):
                return "only root may"
    return ""
