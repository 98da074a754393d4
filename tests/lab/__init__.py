"""A fleet of real servers on one Linux machine, from namespaces alone.

`Lab.up` raises hosts with addresses of their own, systemd, sshd and real web servers,
a CA and a DNS server; `Lab.down` leaves nothing behind. It needs root, Debian 12 and
what `python3 -m tests.lab install` has made.
"""

from tests.lab.errors import LabError
from tests.lab.fleet import Challenge, Fleet, Host, KeyType, Layout, Service, Site
from tests.lab.fleets import DEMO, SMALL
from tests.lab.host import LabHost
from tests.lab.lab import Lab

__all__ = [
    "DEMO",
    "SMALL",
    "Challenge",
    "Fleet",
    "Host",
    "KeyType",
    "Lab",
    "LabError",
    "LabHost",
    "Layout",
    "Service",
    "Site",
]
