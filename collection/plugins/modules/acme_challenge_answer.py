#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_challenge_answer
short_description: Lets the servers of a host answer http-01 by themselves
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Writes the piece of configuration with which nginx or Apache answers every http-01 challenge of one ACME account (RFC 8555 section 8.3),
    in a transaction. The configuration is tested before and after, and taken away again where the test fails.
  - Then asks the servers whether they do answer, and tells what is missing where they do not. It never fails for that. The CA has the last word.
  - nginx wants one line in each server block on port 80, C(include /etc/nginx/snippets/notafter-acme-challenge*.conf;).
    Apache needs nothing. HAProxy wants the line that the result tells.
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would do without doing it.
    support: full
  diff_mode:
    description: Returns details on what has changed (or would change).
    support: none
  action:
    description: Has an action plugin, so that its controller half runs on the controller.
    support: full
  async:
    description: Can be used with C(async).
    support: none
options:
  thumbprint:
    description: The JWK thumbprint of the ACME account key (RFC 7638).
    type: str
    required: true
  services:
    description: The names to answer for, by kind of server.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Answer for the shop
  notafter.tls.acme_challenge_answer:
    thumbprint: dWtUqW6UVg4FqYcFH8oZyGFuZXQ0P0UzJ1jWcB0xkXo
    services:
      nginx:
        - shop.example.com
"""

RETURN = r"""
answers:
  description: One for each kind of server, with C(service), C(state) and C(message).
  returned: always
  type: list
  elements: dict
  sample: [{"service": "nginx", "state": "answering", "message": "answers for every name"}]
"""
