# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter `notafter.tls.deployments`."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deployments
short_description: The deployments of one server
version_added: 0.1.0
author:
  - notafter contributors (@notafter)
description:
  - Collects, from the variables of all certificates, the places where one server serves them.
positional: certificates, server, play_hosts, any_version
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
  play_hosts:
    description:
      - All hosts of the play, in its order. With them each deployment has its C(wave), which follows from
        C(certificate_waves) of its certificate, and C(max_fail_percentage).
      - Without them everything is of the first wave.
    type: list
    elements: str
  any_version:
    description: Whether those count too of which this run knows no version, as when something is put back.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what this server serves
  ansible.builtin.debug:
    msg: "{{ hostvars | notafter.tls.deployments(groups.certificates, inventory_hostname) }}"

- name: Show in which wave it gets each certificate
  ansible.builtin.debug:
    msg: "{{ hostvars | notafter.tls.deployments(groups.certificates, inventory_hostname, play_hosts) }}"
  vars:
    play_hosts: "{{ ansible_play_hosts_all }}"
"""

RETURN = r"""
_value:
  description: Deployments as the module M(notafter.tls.certificate_deploy) takes them.
  type: list
  elements: dict
"""

import typing as t

from ..plugin_utils.placements import deployments


class FilterModule:
    """Offers the filter to Ansible."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """The filters by name."""
        return {"deployments": deployments}
