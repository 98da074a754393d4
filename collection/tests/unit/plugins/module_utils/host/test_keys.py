# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The public half that a key's file states is that of its certificate, and of no other."""

from __future__ import annotations

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _keys
from ansible_collections.notafter.tls.tests.unit.plugins.scanning import issue
from cryptography.hazmat.primitives import serialization

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-256", "ec-384"])
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_key_states_what_its_certificate_states(kind: str, form: str) -> None:
    one, other = issue("a.example", key=kind), issue("a.example", key=kind)
    text = one.key.private_bytes(PEM, getattr(serialization.PrivateFormat, form), PLAIN)
    public = _keys.of_certificate(one.certificate.public_bytes(serialization.Encoding.DER))
    assert public
    assert _keys.of_private(b"text before\n" + one.pem.encode() + text) == public
    assert _keys.of_private(other.key_pem.encode()) != public


def test_what_states_nothing_is_left_to_the_tls_library() -> None:
    made = issue("a.example")
    assert _keys.of_private(made.encrypted(b"secret").encode()) is None
    assert _keys.of_private(issue("a.example", key="ed25519").key_pem.encode()) is None
    old = made.key.private_bytes(
        PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.BestAvailableEncryption(b"x" * 8)
    )
    assert _keys.of_private(old) is None
    assert _keys.of_private(b"no key") is None


@pytest.mark.parametrize("cut", range(0, 130, 3))
def test_a_damaged_key_states_nothing(cut: int) -> None:
    whole = issue("a.example").key_pem
    body = whole.splitlines()[1:-1]
    text = "".join(body)[:cut]
    damaged = f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    assert _keys.of_private(damaged.encode()) is None
    assert _keys.of_certificate(text.encode()) is None
