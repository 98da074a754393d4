#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_sh_certificate
short_description: Has a certificate signed by acme.sh, or revoked
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Has one CSR signed by a CA that speaks ACME (RFC 8555), with acme.sh on an issuer. Delegate the task to that issuer.
  - Every attempt has a private, disposable home; acme.sh keeps no state, makes no key and renews nothing by itself.
  - Asking twice with the same O(attempt) finds the certificate that the first asking had signed.
  - What comes back is checked before it counts. The key must match, the names must be covered, the chain must verify.
  - The CSR is checked before an order is made. It must ask for the names, and never for must-staple.
  - With O(state=revoked) a certificate is revoked (RFC 8555, section 7.6). One that was revoked before is no failure and no change.
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
  state:
    description: Whether the certificate is to be signed, or revoked.
    type: str
    choices: [present, revoked]
    default: present
  names:
    description:
      - The DNS names to cover, in lower case, internationalised ones as C(xn--), and IP addresses (RFC 8738) in their canonical form.
      - Required with O(state=present).
    type: list
    elements: str
  csr:
    description: The certificate signing request (PEM). Required with O(state=present).
    type: str
  attempt:
    description: The name of this attempt. Required with O(state=present).
    type: str
  ca:
    description:
      - C(directory) is the ACME directory URL.
      - C(bundle) is the path, on the controller, of the PEM file that the HTTPS of the CA is checked with.
      - C(root) is the path, on the controller, of a PEM file with the root that what the CA signs must lead to.
        Without it any chain will do, but one there must be.
      - C(email) is the contact of the account.
      - C(eab_key_id) is the key id of the external account binding that some CAs want (RFC 8555, section 7.3.4).
    type: dict
    required: true
  account:
    description: Which of the issuer's own ACME accounts to use, without a control plane.
    type: str
    default: default
  eab_hmac_key:
    description:
      - The HMAC key (base64url) that belongs to C(eab_key_id). Taken from the control plane in a job.
      - It is used once, when the account is registered, and is in no file and no argument of a process.
    type: str
  challenge:
    description:
      - How control of the names is proved. Required with O(state=present).
      - C(type) is C(dns-01), with C(provider) (the C(dns_*) name that acme.sh knows) and optionally C(dns_sleep) in seconds
        (without it the authoritative name servers are asked until they show the records, for at most two minutes);
        or C(http-01), with C(mode) C(stateless), or C(mode) C(webroot) and C(webroot), or C(mode) C(standalone);
        or C(tls-alpn-01).
      - For C(dns-01), C(alias) or C(domain_alias) say in which domain, or at which name, the TXT records stand that the names lead to by C(CNAME),
        as the options C(--challenge-alias) and C(--domain-alias) of acme.sh do.
      - In C(mode) C(standalone) and for C(tls-alpn-01), acme.sh itself listens on the issuer, on C(port) (80 and 443). The issuer must be the host that
        the names lead to. Attempts that want the same port wait for each other.
    type: dict
  dns_variables:
    description: What the DNS provider of acme.sh asks for. Taken from the control plane in a job.
    type: dict
  profile:
    description: The ACME profile to ask for.
    type: str
  preferred_chain:
    description:
      - The common name of the issuer that the chain should lead to, where the CA offers several (RFC 8555, section 7.4.2).
      - Where it offers none the CA's own choice is taken, with a warning.
    type: str
  replaces:
    description: The certificate (PEM) that the new one replaces (RFC 9773).
    type: str
  check_caa:
    description:
      - Whether the CAA records of the names (RFC 8659) are looked up before the CA is asked. Where they forbid it to issue, it is not asked,
        and the failure has the class C(caa).
      - The authoritative name servers are asked. Where none answers, and where the CA's directory does not say by which names CAA records know it
        (C(caaIdentities)), the CA decides.
    type: bool
    default: false
  minimum_validity:
    description: Seconds that the new certificate must be valid for. One that ends sooner is refused.
    type: int
  certificate:
    description: The certificate (PEM) to revoke. Required with O(state=revoked).
    type: str
  reason:
    description: Why it is revoked, in the words of RFC 5280, section 5.3.1.
    type: str
    choices: [unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation]
    default: unspecified
  by:
    description:
      - Who signs the request to revoke. The account that ordered the certificate, or the key of the certificate itself.
      - The key is that which the issuer keeps under O(name), in a job that of the control plane.
    type: str
    choices: [account, key]
    default: account
  timeout:
    description: Seconds after which acme.sh is ended.
    type: int
    default: 600
  job:
    description:
      - The job of a control plane that runs this task, with C(id), C(api_url) and C(token_file).
      - Left out in a run by hand.
    type: dict
"""

EXAMPLES = r"""
- name: Have the CSR signed
  notafter.tls.acme_sh_certificate:
    name: "{{ inventory_hostname }}"
    names: "{{ certificate_names }}"
    csr: "{{ issue_request.csr }}"
    attempt: "{{ issue_request.attempt }}"
    ca:
      directory: https://acme-v02.api.letsencrypt.org/directory
      email: ops@example.com
    challenge:
      type: dns-01
      provider: dns_cf
  delegate_to: "{{ groups.issuers | first }}"

- name: Revoke a certificate whose key was stolen
  notafter.tls.acme_sh_certificate:
    state: revoked
    name: "{{ inventory_hostname }}"
    certificate: "{{ lookup('file', 'stolen.pem') }}"
    reason: keyCompromise
    by: key
    ca:
      directory: https://acme-v02.api.letsencrypt.org/directory
  delegate_to: "{{ groups.issuers | first }}"
"""

RETURN = r"""
attempt:
  description: The name of the attempt.
  returned: with O(state=present)
  type: str
  sample: req-12
certificate:
  description: The signed certificate.
  returned: success, with O(state=present)
  type: dict
  contains:
    pem:
      description: The certificate.
      returned: success
      type: str
      sample: "-----BEGIN CERTIFICATE-----..."
    chain_pem:
      description: Its issuers.
      returned: success
      type: str
      sample: "-----BEGIN CERTIFICATE-----..."
    fingerprint_sha256:
      description: Lower-case hex SHA-256 over the DER.
      returned: success
      type: str
      sample: 9f86d081884c7d65
    serial:
      description: Serial number in hex.
      returned: success
      type: str
      sample: 3f2a
    issuer:
      description: Distinguished name of the issuer.
      returned: success
      type: str
      sample: CN=R11,O=Let's Encrypt,C=US
    names:
      description: The DNS names in it.
      returned: success
      type: list
      elements: str
      sample: [shop.example.com]
    not_before:
      description: Start of validity (ISO 8601, UTC).
      returned: success
      type: str
      sample: "2026-11-22T10:00:00Z"
    not_after:
      description: End of validity (ISO 8601, UTC).
      returned: success
      type: str
      sample: "2027-02-20T10:00:00Z"
    key_type:
      description: Kind of the key.
      returned: success
      type: str
      sample: ec-256
account:
  description: C(url) and, for the issuer's own accounts, C(thumbprint) of the ACME account.
  returned: when acme.sh was run
  type: dict
  sample: {"url": "https://ca.example/acct/1", "thumbprint": null}
seconds:
  description: How long it took on the issuer.
  returned: when the issuer was asked
  type: float
  sample: 6.1
revoked:
  description: What was revoked, by its fingerprint, and whether it was so already.
  returned: success, with O(state=revoked)
  type: dict
  sample: {"fingerprint_sha256": "9f86d081884c7d65", "already": false}
failure:
  description:
    - Why there is no certificate, or why it is not revoked. C(class) is one of C(rate_limited), C(challenge_failed), C(ca_unavailable), C(account), C(caa),
      C(rejected_identifier), C(dns_provider), C(wrong_certificate), C(invalid_request), C(internal).
    - C(message) is a sentence, C(type) the problem type of the CA, C(identifier) the name that it is about, C(retry_after)
      the seconds that the CA wants to be left alone.
  returned: failure
  type: dict
  sample: {"class": "rate_limited", "message": "too many certificates", "type": null, "identifier": null, "retry_after": 3600}
"""
