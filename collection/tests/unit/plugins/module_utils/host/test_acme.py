# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a CA answers is data: the answer itself is found, and no address but a plain one is asked next."""

from __future__ import annotations

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host import acme, registration

HINT = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
ACCOUNT = "https://ca.example.com/acme/account/1"


@pytest.mark.parametrize("before", ["", "HTTP/1.1 100 Continue\r\n\r\n", HINT, HINT + HINT])
def test_what_comes_before_an_answer_is_not_taken_for_it(before: str) -> None:
    reply = acme._reply(before + 'HTTP/2 201\r\nLocation: x\r\n\r\n{"status": "valid"}')
    assert (reply.status, reply.headers, reply.document()) == (201, {"location": "x"}, {"status": "valid"})


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (ACCOUNT, ACCOUNT),
        ("file:///etc/passwd", ""),
        (f"{ACCOUNT}{{1,2}}", ""),
        (f"{ACCOUNT}' x", ""),
        ("", ""),
    ],
)
def test_an_account_is_at_a_plain_address_or_at_none(location: str, url: str) -> None:
    reply = acme.Reply(201, {"location": location}, '{"status": "valid", "contact": ["mailto:a@b.example"]}')
    assert registration._known(reply) == (url, "valid", "a@b.example")
