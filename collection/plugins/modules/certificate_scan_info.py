#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_scan_info
short_description: Finds the certificates that the servers of a host really use
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Asks each server for its effective configuration, falls back to reading its files, and reports every place where a certificate
    is configured, with file and line, names, listeners and problems. What cannot be resolved is reported as such.
  - Also returns facts about the host. Changes nothing.
  - A host with so many certificates that Ansible would let no callback see the result is told in pages. The first says
    that there are more (RV(page), RV(more_pages)); the role C(notafter.tls.scan) takes them all. To do so without it, see O(page).
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
  timeout:
    description: Seconds after which the scan ends with what it has.
    type: int
    default: 60
  handshakes:
    description:
      - Whether the host's own listeners are asked what they show, so that a file that no server has loaded is noticed.
      - At most four endpoints for each binding are asked, once each, within a quarter of O(timeout) and at most 15 seconds.
        A server may note the connections in its log.
    type: bool
    default: true
  paths:
    description:
      - Further places to look at, by kind of server, for what a scan cannot find by itself.
      - What a place is (a configuration, a folder, a glob of files) is said on the page of the kind in C(docs/services).
    type: dict
    default: {}
  page:
    description:
      - One of RV(more_pages). Nothing is scanned then; that page of the last scan of this host is returned.
      - A page waits on the controller until it was taken, the host is scanned again, or the run ends.
        All other options are without meaning.
    type: str
seealso:
  - plugin: notafter.tls.scan_pages
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Scan
  notafter.tls.certificate_scan_info:
  register: scan

- name: Scan a host whose nginx belongs to a panel, and look for certificates that no server names
  notafter.tls.certificate_scan_info:
    paths:
      nginx: [/www/server/nginx/conf/nginx.conf]
      files: [/srv/*/tls/*.pem]

- name: Take the further pages of a host with thousands of certificates
  notafter.tls.certificate_scan_info:
    page: "{{ item }}"
  loop: "{{ query('notafter.tls.scan_pages') }}"
"""

RETURN = r"""
server:
  description: Facts about the host.
  returned: success
  type: dict
  sample: {"hostname": "web1", "machine_id": "5f2c", "services": []}
bindings:
  description:
    - Every place where a certificate is configured. C(served) has what its listeners showed, each with C(listener), C(name),
      C(fingerprint), C(error) and, where a process that is not this kind of server listens there, its name in C(by).
  returned: success
  type: list
  elements: dict
  sample: [{"service": "nginx", "config_file": "/etc/nginx/sites-enabled/shop", "line": 4, "problems": []}]
certificates:
  description: The certificates by fingerprint.
  returned: success
  type: dict
  sample: {"9f86d081884c7d65": {"names": ["shop.example.com"]}}
chains:
  description: The chains above the certificates, each once; the C(chain) of a certificate is a name of this table.
  returned: success
  type: dict
  sample: {"0a1b": "-----BEGIN CERTIFICATE-----"}
left_out:
  description:
    - How many bindings had no room in any page; they may be the missing ones. That is so for a single binding that is
      larger than a page, and for what would come after 200 pages.
  returned: on the first page, when something was cut
  type: int
  sample: 3
page:
  description:
    - Which part of the scan this is (C(number) of C(of), from 1), and by which name the parts of one scan know each other.
      Each has all of RV(server), and the certificates and chains that its own bindings need.
  returned: when one result cannot hold the scan
  type: dict
  sample: {"scan": "0123456789abcdef0123456789abcdef", "number": 1, "of": 12}
more_pages:
  description: What O(page) takes, for each further page.
  returned: on the first page, when one result cannot hold the scan
  type: list
  elements: str
  sample: ["fedcba9876543210fedcba9876543210-2"]
unresolved:
  description: What could not be read or resolved, with C(file), C(line) and C(message).
  returned: success
  type: list
  elements: dict
  sample: []
"""
