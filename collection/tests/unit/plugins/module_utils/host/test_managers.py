# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else renews a certificate is told by the places and traces of each client."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _managers, _reading

if t.TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def managers(tmp_path: Path) -> _managers.Managers:
    return _managers.Managers(
        _reading.Reader(30.0), certbot=[str(tmp_path / "letsencrypt")], acme_sh=[str(tmp_path / ".acme.sh")]
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/letsencrypt/live/shop/fullchain.pem", "certbot"),
        ("/root/.acme.sh/shop_ecc/fullchain.cer", "acme.sh"),
        ("/var/lib/dehydrated/certs/shop/fullchain.pem", "dehydrated"),
        ("/srv/.lego/certificates/shop.crt", "lego"),
        ("/var/lib/caddy/.local/share/caddy/certificates/acme/shop/shop.crt", "caddy"),
        ("/etc/apache2/md/domains/shop/pubcert.pem", "mod_md"),
        ("/etc/ssl/uacme/shop/cert.pem", "uacme"),
        ("/etc/ssl/certs/ssl-cert-snakeoil.pem", None),
        ("/etc/nginx/legoland.pem", None),
    ],
)
def test_the_place_of_a_file_tells_its_manager(
    managers: _managers.Managers, path: str, expected: str | None
) -> None:
    assert managers.of([path]) == expected


def test_a_link_into_a_client_s_folder_tells_it_too(managers: _managers.Managers, tmp_path: Path) -> None:
    (tmp_path / "x" / "letsencrypt" / "live" / "shop").mkdir(parents=True)
    (tmp_path / "x" / "letsencrypt" / "live" / "shop" / "cert.pem").write_text("x")
    (tmp_path / "shop.crt").symlink_to("x/letsencrypt/live/shop/cert.pem")
    assert managers.of([str(tmp_path / "shop.crt")]) == "certbot"


def test_a_lineage_of_certbot_in_another_folder(managers: _managers.Managers, tmp_path: Path) -> None:
    (tmp_path / "own" / "live" / "shop").mkdir(parents=True)
    (tmp_path / "own" / "renewal").mkdir()
    path = str(tmp_path / "own" / "live" / "shop" / "fullchain.pem")
    assert managers.of([path]) is None
    (tmp_path / "own" / "renewal" / "shop.conf").write_text("")
    assert _managers.Managers(_reading.Reader(30.0), certbot=(), acme_sh=()).of([path]) == "certbot"


def test_files_that_acme_sh_copies_out_are_known_by_its_notes(
    managers: _managers.Managers, tmp_path: Path
) -> None:
    home = tmp_path / ".acme.sh" / "shop_ecc"
    home.mkdir(parents=True)
    (home / "shop.conf").write_text(
        "Le_Domain='shop'\nLe_RealCertPath=''\nLe_RealKeyPath='/etc/nginx/shop.key'\n"
        "Le_RealFullChainPath='/etc/nginx/shop.pem'\n"
    )
    assert managers.of(["/etc/nginx/other.pem"]) is None
    assert managers.of(["/etc/nginx/other.pem", "/etc/nginx/shop.key"]) == "acme.sh"
    assert managers.of(["/etc/nginx/shop.pem"]) == "acme.sh"
    assert managers.of([""]) is None


def test_files_that_certbot_s_notes_name(managers: _managers.Managers, tmp_path: Path) -> None:
    (tmp_path / "letsencrypt" / "renewal").mkdir(parents=True)
    (tmp_path / "letsencrypt" / "renewal" / "shop.conf").write_text(
        "fullchain = /srv/tls/shop/fullchain.pem\n"
    )
    assert managers.of(["/srv/tls/shop/fullchain.pem"]) == "certbot"


def test_the_stamped_links_of_dehydrated_and_the_notes_of_lego(
    managers: _managers.Managers, tmp_path: Path
) -> None:
    (tmp_path / "fullchain-1700000000.pem").write_text("x")
    (tmp_path / "fullchain.pem").symlink_to("fullchain-1700000000.pem")
    assert managers.of([str(tmp_path / "fullchain.pem")]) == "dehydrated"
    for name in ("a.crt", "a.issuer.crt", "a.json"):
        (tmp_path / name).write_text("x")
    assert managers.of([str(tmp_path / "a.crt")]) == "lego"
