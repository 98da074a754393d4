"""What can go wrong in the lab, named after what happened.

LabError
├── FleetError         the description of a fleet contradicts itself
├── InstallError       something that the lab is made from cannot be had
├── NotUpError         no lab of that name is up
├── NotReadyError      a host did not come up in time; the message has its journal
└── HandshakeError     no TLS handshake could be made
"""

from __future__ import annotations


class LabError(Exception):
    """Something in the lab did not work."""


class FleetError(LabError):
    """The description of a fleet contradicts itself."""


class InstallError(LabError):
    """Something that the lab is made from cannot be had."""


class NotUpError(LabError):
    """No lab of that name is up."""


class NotReadyError(LabError):
    """A host did not come up in time."""


class HandshakeError(LabError):
    """No TLS handshake could be made."""
