# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter `notafter.tls.challenges`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: challenges
short_description: What one server must answer for http-01
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Collects, from the variables of all certificates, the names for which one server must answer http-01.
positional: certificates, server
options:
  _input:
    description: The mapping C(hostvars).
    type: dict
    required: true
  certificates:
    description: Inventory names of the certificates.
    type: list
    elements: str
    required: true
  server:
    description: Inventory name of the server.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what this server must answer
  ansible.builtin.debug:
    msg: "{{ hostvars | notafter.tls.challenges(groups.certificates, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: One entry for each ACME account, as the module M(notafter.tls.acme_challenge_answer) takes it.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils.placements import challenges


class FilterModule:
    """Offers the filter to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"challenges": challenges}
