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
    description:
      - What to ask, each with C(address) and C(port), and optionally C(name) (asked for in SNI), C(starttls), C(id),
        C(expected_fingerprint) and C(key_type) (C(rsa) or C(ec)).
      - C(starttls) is what is spoken before TLS begins, one of C(ftp), C(imap), C(ldap), C(lmtp), C(mysql), C(nntp), C(pop3),
        C(postgres), C(sieve), C(smtp), C(xmpp), C(xmpp-server).
      - Each is in the result. What is listed twice is asked once.
    type: list
    elements: dict
  deployments:
    description: Deployments whose listeners and names are asked, as M(notafter.tls.certificate_deploy) takes them.
    type: list
    elements: dict
  networks:
    description:
      - Networks (C(192.0.2.0/24), C(2001:db8::/120)), addresses and host names to look at. What answers with TLS is returned, what
        is closed is counted.
      - At most 8192 places (addresses times ports) in one call; more is refused.
    type: list
    elements: str
  ports:
    description:
      - Ports to look at in O(networks), such as C(8443) or C(2525/smtp). A number alone means what is usual at that port
        (C(25) is C(25/smtp)); C(25/tls) means TLS at once.
      - If not given, 21, 25, 110, 143, 389, 443, 465, 587, 636, 853, 990, 993, 995, 3306, 4190, 5222, 5269, 5432, 6443, 8443 and 9443.
    type: list
    elements: str
  names:
    description: Names to ask for at each place found in O(networks), beside no name at all.
    type: list
    elements: str
    default: []
  address:
    description: Where to ask for a listener on every address.
    type: str
  source:
    description: From where to ask.
    type: str
    choices: [controller, host]
    default: controller
  timeout:
    description: Seconds for each endpoint, from the look-up of its name to the end of the handshake.
    type: int
    default: 5
  connect_timeout:
    description: Seconds to wait for each connection. If not given, 2 where O(networks) are looked at, else O(timeout).
    type: int
  limit:
    description: Seconds for the whole call. Endpoints that were not asked by then say so.
    type: int
    default: 300
  stapling:
    description:
      - Whether to ask for the OCSP response that a server staples to its handshake.
      - Python cannot see it, so each endpoint that shows a certificate is asked once more with the program C(openssl).
    type: bool
    default: false
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
      - address: mail.example.com
        port: 25
        starttls: smtp

- name: Find what serves TLS in a network
  notafter.tls.certificate_probe_info:
    networks: [192.0.2.0/24, "2001:db8::53"]
    ports: [443, 8443, 25/smtp]
    names: [shop.example.com]
"""

RETURN = r"""
endpoints:
  description:
    - What each endpoint serves. C(state) is C(served) or C(failed), then C(error) says why.
    - C(chain_pem) is what the server sent, the leaf first. Python before 3.10 can see the leaf alone.
    - C(stapling) is null where it was not asked for or could not be; else its C(status) is C(good), C(revoked), C(unknown), C(error)
      or C(none), with C(this_update) and C(next_update).
    - C(matches) is null without C(expected_fingerprint).
  returned: success
  type: list
  elements: dict
  sample: [{"address": "192.0.2.10", "port": 443, "name": "shop.example.com", "state": "served", "not_after": "2027-01-01T00:00:00Z"}]
certificates:
  description: What the certificates shown say, by fingerprint.
  returned: success
  type: dict
  sample: {"5f2c": {"names": ["shop.example.com"], "not_before": "2026-10-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z"}}
discovery:
  description:
    - How many places of O(networks) were C(asked), were C(closed) (nobody listens or answers), speak something C(without_tls), and
      were C(not_asked) because O(limit) was over. Null without O(networks).
  returned: success
  type: dict
  sample: {"asked": 762, "closed": 741, "without_tls": 2, "not_asked": 0}
unseen:
  description: Listeners of O(deployments) on a host's own loopback, which cannot be seen from the controller.
  returned: success
  type: list
  elements: str
  sample: ["dep-5 postgresql 127.0.0.1:5432"]
chains_left_out:
  description: How many chains had no room in the result.
  returned: when there are any
  type: int
left_out:
  description: How many endpoints had no room in the result. Those that showed what they should went first.
  returned: when there are any
  type: int
"""
