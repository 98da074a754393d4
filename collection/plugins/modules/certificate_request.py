#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_request
short_description: Makes a key and a CSR when a certificate is due
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - For runs without a control plane. Looks at the certificate that the host keeps under O(name), decides whether a new one is due,
    and if so makes a key and a CSR there. The key never leaves that host but to be deployed.
  - Asking twice for the same gives the same request.
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
  name:
    description: The inventory name of the certificate.
    type: str
    required: true
  names:
    description: The DNS names and IP addresses to cover.
    type: list
    elements: str
    required: true
  key_type:
    description: The kind of key.
    type: str
    default: ec-256
  renew_before:
    description:
      - Seconds before its end at which the certificate is renewed.
      - By default a third of its life, of a life under 10 days the half.
      - At most two thirds of the life.
    type: int
  force:
    description: Whether to make a request although the present certificate will do.
    type: bool
    default: false
  account:
    description: Which of the issuer's own ACME accounts the certificate is to be asked for with.
    type: str
    default: default
  ca:
    description: The CA, as M(notafter.tls.acme_sh_certificate) takes it.
    type: dict
  challenge:
    description: The challenge, as M(notafter.tls.acme_sh_certificate) takes it.
    type: dict
"""

EXAMPLES = r"""
- name: Prepare what is due
  notafter.tls.certificate_request:
    name: shop
    names:
      - shop.example.com
      - www.shop.example.com
  delegate_to: "{{ groups.issuers | first }}"
"""

RETURN = r"""
due:
  description: Whether a new certificate is wanted.
  returned: success
  type: bool
  sample: true
reason:
  description: Why, or why not, in words.
  returned: always
  type: str
  sample: there is none yet
csr:
  description: The certificate signing request (PEM); null when nothing is due.
  returned: success
  type: str
  sample: "-----BEGIN CERTIFICATE REQUEST-----..."
attempt:
  description: The name under which to have it signed.
  returned: success
  type: str
  sample: shop-5f2c
thumbprint:
  description: What the servers answer http-01 with, when the challenge is http-01 in mode stateless and something is due; else null.
  returned: success
  type: str
  sample: dWtUqW6UVg4FqYcFH8oZyGFuZXQ0P0UzJ1jWcB0xkXo
key_type:
  description: The kind of key.
  returned: success
  type: str
  sample: ec-256
certificate:
  description: What the host keeps now, as M(notafter.tls.acme_sh_certificate) returns it, or null.
  returned: success
  type: dict
  sample: {"fingerprint_sha256": "9f86d081884c7d65"}
"""
