#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_account
short_description: Registers, re-keys and deactivates ACME accounts
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Brings one ACME account of an issuer into a state (RFC 8555, section 7.3). Delegate the task to that issuer.
  - An account is known by its name and the CA's directory URL. The same name with another CA is another account.
  - No account is needed before the first order, which registers one. This module is for whoever wants that earlier, or wants to change something.
  - Registering agrees to the terms of service of the CA.
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
  state:
    description:
      - V(present), the CA knows the account, and its contact is the given one.
      - V(key_changed), the account has another key (RFC 8555, section 7.3.5). Both keys are kept until the CA has confirmed which one is the
        account's, so that a run that breaks off loses nothing; the next run, of this module or of an order, goes on from there.
      - V(deactivated), the account has ended, for ever. Its key is deleted; the next order registers another account.
    type: str
    choices: [present, key_changed, deactivated]
    default: present
  ca:
    description:
      - C(directory) is the ACME directory URL.
      - C(bundle) is the path, on the controller, of the PEM file that the HTTPS of the CA is checked with.
      - C(email) is the contact; without it, the contact is left as it is.
      - C(eab_key_id) is the key id of the external account binding that some CAs want.
    type: dict
    required: true
  account:
    description: The name of the account on the issuer.
    type: str
    default: default
  eab_hmac_key:
    description: The HMAC key (base64url) that belongs to C(eab_key_id). It is used once, when the account is registered.
    type: str
  key_type:
    description: The type of the next key, with O(state=key_changed). One of V(ec-256), V(ec-384), V(rsa-2048), V(rsa-3072), V(rsa-4096).
    type: str
    default: ec-256
  timeout:
    description: Seconds to wait for orders of the account that are under way, before its key is changed or it ends.
    type: int
    default: 600
  name:
    description: The inventory name of the certificate whose account is meant. Only in a job.
    type: str
  job:
    description:
      - The job of a control plane that runs this task, with C(id), C(api_url) and C(token_file). The account's keys come from there.
      - Left out in a run by hand.
    type: dict
"""

EXAMPLES = r"""
- name: Register an account that is bound to one with the CA
  notafter.tls.acme_account:
    ca:
      directory: https://acme.zerossl.com/v2/DV90
      email: ops@example.com
      eab_key_id: Vq3CkyWzZ2xG
    eab_hmac_key: "{{ vault_zerossl_hmac_key }}"
  delegate_to: issuer1

- name: Give it another key
  notafter.tls.acme_account:
    state: key_changed
    ca:
      directory: https://acme.zerossl.com/v2/DV90
  delegate_to: issuer1
"""

RETURN = r"""
account:
  description:
    - The account as the CA has it. C(url), C(status), C(contact), and C(thumbprint) of its key (RFC 7638).
    - Null where there is none, or only would be.
  returned: success
  type: dict
  sample: {"url": "https://ca.example/acct/1", "status": "valid", "contact": "ops@example.com", "thumbprint": "NzbLsXh8uDCcd"}
seconds:
  description: How long it took on the issuer.
  returned: when the issuer was asked
  type: float
  sample: 0.6
failure:
  description: Why it was not done, as the module M(notafter.tls.acme_sh_certificate) tells it.
  returned: failure
  type: dict
  sample: {"class": "account", "message": "no such key id", "type": "urn:ietf:params:acme:error:unauthorized", "identifier": null, "retry_after": null}
"""
