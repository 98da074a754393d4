#!/usr/bin/python
# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the module; its work is in plugins/action and plugins/module_utils/host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_deploy
short_description: Deploys certificates on a server in one transaction
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Recovers what a killed run left, locks the host, checks, backs up, swaps the files, tests the configuration of each server,
    reloads it once and looks at what it serves. Where anything fails after the swap, the old files are put back and shown to serve.
  - Success means that new handshakes show the new fingerprint. A return code proves nothing.
  - Owner, mode, ACL, extended attributes and symbolic links are kept. A service that does not run is not started.
  - Keystores (PKCS#12, JKS, JCEKS) get the certificate in one entry, and keep all others. Their password is read on the host, in
    the configuration of the server or in the C(password_file) of the file, and never leaves it.
  - Other servers that read a file that changes are reloaded and looked at as well, where the host's configuration names it.
  - The key goes through the open connection and is in no variable, result or file but those of the deployment.
attributes:
  check_mode:
    description: Can run in C(check_mode) and tell what it would do without doing it.
    support: full
  diff_mode:
    description:
      - Returns details on what has changed (or would change) - of each file the certificates before and after, owner and mode,
        and what is reloaded and looked at. It never shows a key.
    support: full
  action:
    description: Has an action plugin, so that its controller half runs on the controller.
    support: full
  async:
    description: Can be used with C(async).
    support: none
options:
  deployments:
    description:
      - The places where this server serves certificates, each with C(certificate), C(service), C(names), C(listeners), C(files),
        and optionally C(id), C(fingerprint), C(issuer), C(wave) and C(max_fail_percentage). The filter P(notafter.tls.deployments#filter) makes the list.
    type: list
    elements: dict
    required: true
  default_issuer:
    description: The host that keeps the keys, where a deployment names none. Not used in a job.
    type: str
  verify_seconds:
    description: How long new handshakes may take to show the new certificate.
    type: int
    default: 15
  lock_seconds:
    description: How long to wait for another run on the same host.
    type: int
    default: 60
  wave:
    description:
      - Which wave of the run this is. Only the deployments of that C(wave) are tried; those that have none are of the first.
      - In a later wave, what did not come to serve on an earlier server of this run is held back, unless
        C(max_fail_percentage) of the servers may fail. The role P(notafter.tls.deploy#role) has a task for each wave.
    type: int
    default: 1
  state:
    description:
      - With V(present) the files get the certificate of each deployment.
      - With V(previous) they get again what their last change replaced, with the same tests, reload and look at what is served.
        Asked for twice it changes nothing the second time. It is refused where there is no back-up, where a file was changed
        since, or where the certificate has ended or is one of O(revoked).
    type: str
    choices: [present, previous]
    default: present
  force:
    description: With O(state=previous), whether a certificate comes back that is not valid any more.
    type: bool
    default: false
  revoked:
    description: With O(state=previous), fingerprints (SHA-256, hexadecimal) of certificates that never come back.
    type: list
    elements: str
    default: []
  job:
    description:
      - The job of a control plane that runs this task, with C(id), C(api_url) and C(token_file).
      - Left out in a run by hand.
    type: dict
"""

EXAMPLES = r"""
- name: Deploy what belongs here
  notafter.tls.certificate_deploy:
    deployments: "{{ hostvars | notafter.tls.deployments(groups.certificates, inventory_hostname) }}"
    default_issuer: "{{ groups.issuers | first }}"

- name: Put back what the shop had before
  notafter.tls.certificate_deploy:
    state: previous
    deployments: "{{ hostvars | notafter.tls.deployments(['shop'], inventory_hostname, any_version=true) }}"
"""

RETURN = r"""
deployments:
  description:
    - One outcome for each deployment. C(state) is C(deployed), C(unchanged), C(staged), C(planned), C(rolled_back), C(blocked_by_host),
      C(conflict), C(refused), C(busy), C(held_back) or C(broken); C(reason) is a short code and C(message) a sentence.
  returned: always
  type: list
  elements: dict
  sample: [{"certificate": "shop", "service": "nginx", "state": "deployed", "reason": "verified"}]
later:
  description:
    - The later waves in which this server has deployments. What failed in this wave makes the host fail when its last one is over.
  returned: always
  type: list
  elements: int
  sample: [2, 3]
recovered:
  description: What a killed run had left on the host and this one put right.
  returned: always
  type: list
  elements: dict
  sample: []
"""
