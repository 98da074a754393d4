"""The named fleets: `demo` has one of everything, `small` is quick to raise."""

from __future__ import annotations

from tests.lab.errors import FleetError
from tests.lab.fleet import Challenge, Fleet, Host, KeyType, Layout, Service, Site

NGINX, APACHE, HAPROXY = Service.NGINX, Service.APACHE, Service.HAPROXY
HTTP_01 = Challenge.HTTP_01

DEMO = Fleet(
    "demo",
    hosts=(
        Host("issuer", (NGINX,), issuer=True),
        Host("web1", (NGINX,)),
        Host("web2", (NGINX,)),
        Host("web3", (NGINX,)),
        Host("apache1", (APACHE,)),
        Host("haproxy1", (HAPROXY,)),
        Host("mixed1", (NGINX, HAPROXY)),
    ),
    sites=(
        Site("desk", ("desk.lab.test",), ("issuer",), challenge=HTTP_01, webroot=True),
        Site("www", ("www.lab.test",), ("web1",), challenge=HTTP_01),
        Site("apps", ("*.apps.lab.test",), ("web1",)),
        Site("portal", ("portal.lab.test",), ("web1", "web2")),
        Site(
            "shop",
            (
                "shop.lab.test",
                "www.shop.lab.test",
                "cart.shop.lab.test",
                "pay.shop.lab.test",
                "img.shop.lab.test",
            ),
            ("web2",),
        ),
        Site("docs", ("docs.lab.test",), ("web2",), challenge=HTTP_01, layout=Layout.SNIPPET),
        Site("api-rsa", ("api.lab.test",), ("web3",), key_type=KeyType.RSA_2048),
        Site("api-ec", ("api.lab.test",), ("web3",)),
        Site("blog", ("blog.lab.test",), ("web3",), layout=Layout.LINEAGE),
        Site("status", ("status.lab.test",), ("web3",), challenge=HTTP_01),
        Site(
            "intranet",
            ("intranet.lab.test",),
            ("apache1",),
            APACHE,
            key_type=KeyType.RSA_2048,
            layout=Layout.SEPARATE_CHAIN,
        ),
        Site("wiki", ("wiki.lab.test",), ("apache1",), APACHE, challenge=HTTP_01),
        Site("edge", ("edge.lab.test",), ("haproxy1",), HAPROXY),
        Site("media", ("media.lab.test",), ("haproxy1",), HAPROXY, 8443, layout=Layout.DIRECTORY),
        Site("static", ("static.lab.test",), ("haproxy1",), HAPROXY, 8443, layout=Layout.DIRECTORY),
        Site("files", ("files.lab.test",), ("mixed1",)),
        Site("metrics", ("metrics.lab.test",), ("mixed1",), HAPROXY, 8443),
    ),
)

SMALL = Fleet(
    "small",
    hosts=(
        Host("issuer", (NGINX,), issuer=True),
        Host("web1", (NGINX,)),
        Host("apache1", (APACHE,)),
        Host("haproxy1", (HAPROXY,)),
    ),
    sites=(
        Site("desk", ("desk.lab.test",), ("issuer",), challenge=HTTP_01, webroot=True),
        Site("www", ("www.lab.test",), ("web1",), challenge=HTTP_01),
        Site("apps", ("*.apps.lab.test",), ("web1",)),
        Site("wiki", ("wiki.lab.test",), ("apache1",), APACHE, layout=Layout.SEPARATE_CHAIN),
        Site("edge", ("edge.lab.test",), ("haproxy1",), HAPROXY),
    ),
)

FLEETS = {fleet.name: fleet for fleet in (DEMO, SMALL)}


def named(name: str) -> Fleet:
    if name not in FLEETS:
        raise FleetError(f"there is no fleet {name!r}; there are {', '.join(FLEETS)}")
    return FLEETS[name]
