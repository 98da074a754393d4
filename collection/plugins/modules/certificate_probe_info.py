#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_probe_info
short_description: Looks at what endpoints serve
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Makes TLS handshakes, many at once, and returns what each endpoint serves. Trusts nothing and changes nothing.
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
  endpoints:
    description: What to ask, each with C(address), C(port), C(name), and optionally C(id), C(expected_fingerprint) and C(key_type).
    type: list
    elements: dict
  deployments:
    description: Deployments whose listeners and names are asked, as M(notafter.tls.certificate_deploy) takes them.
    type: list
    elements: dict
  address:
    description: Where to ask for a listener on every address.
    type: str
  source:
    description: From where to ask.
    type: str
    choices: [controller, host]
    default: controller
  timeout:
    description: Seconds to wait for each handshake.
    type: int
    default: 5
  require_match:
    description: Whether to fail when an endpoint shows something other than expected.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look from outside
  notafter.tls.certificate_probe_info:
    endpoints:
      - address: 192.0.2.10
        port: 443
        name: shop.example.com
"""

RETURN = r"""
endpoints:
  description: What each endpoint serves.
  returned: success
  type: list
  elements: dict
  sample: [{"address": "192.0.2.10", "port": 443, "name": "shop.example.com", "state": "served"}]
"""
