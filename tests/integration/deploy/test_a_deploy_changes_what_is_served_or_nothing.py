"""The rows of faults.md that one deploy must survive, each against real nginx, Apache and HAProxy."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ansible_collections.notafter.tls.plugins.plugin_utils.carrier import HostProgramError

from tests.integration.deploy.conftest import HELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.integration.deploy.conftest import Target
    from tests.lab.host import LabHost
    from tests.lab.lab import Lab

UNITS = {"nginx": "nginx", "apache": "apache2", "haproxy": "haproxy"}
CONFIGURATION = {
    "nginx": "/etc/nginx/conf.d/broken.conf",
    "apache": "/etc/apache2/conf-enabled/broken.conf",
    "haproxy": "/etc/haproxy/haproxy.cfg",
}


def unit(target: Target) -> str:
    """The systemd unit of a target's server."""
    return UNITS[str(target.site.service)]


@contextmanager
def broken_configuration(target: Target) -> Iterator[None]:
    """Somebody has left a line in the configuration that the server does not understand."""
    path = CONFIGURATION[str(target.site.service)]
    old = target.host.read(path) if target.host.exists(path) else None
    target.host.write(path, f"{old or ''}\nthis is no configuration\n")
    try:
        yield
    finally:
        if old is None:
            target.host.run(["rm", path])
        else:
            target.host.write(path, old)


@contextmanager
def reload_that_does(host: LabHost, name: str, command: str) -> Iterator[None]:
    """The unit's reload is replaced by another command."""
    drop_in = f"/run/systemd/system/{name}.service.d/reload.conf"
    host.write(drop_in, f"[Service]\nExecReload=\nExecReload={command}\n")
    host.run(["systemctl", "daemon-reload"])
    try:
        yield
    finally:
        host.run(["rm", drop_in])
        host.run(["systemctl", "daemon-reload"])


def test_a_deploy_is_what_a_client_sees(target: Target) -> None:
    issued, metadata = target.issue(), target.metadata()
    outcome = target.deploy(issued)
    assert outcome["state"] == "deployed"
    assert outcome["live_fingerprint"] == issued.fingerprint == target.served()
    assert outcome["before_fingerprint"] != issued.fingerprint
    assert target.metadata() == metadata


def test_deploying_the_same_again_changes_nothing(target: Target) -> None:
    issued = target.issue()
    target.deploy(issued)
    before = target.host.run(
        ["systemctl", "show", "-p", "StateChangeTimestampMonotonic", unit(target)]
    ).stdout
    assert target.deploy(issued)["state"] == "unchanged"
    after = target.host.run(["systemctl", "show", "-p", "StateChangeTimestampMonotonic", unit(target)]).stdout
    assert before == after


def test_check_mode_says_what_it_would_do_and_does_nothing(target: Target) -> None:
    before, served = target.bytes_on_disk(), target.served()
    outcome = target.deploy(target.issue(), check=True)
    assert outcome["state"] == "planned"
    assert target.site.files[0].path.rpartition("/")[2] in outcome["message"]
    assert (target.bytes_on_disk(), target.served()) == (before, served)


def test_t4_a_configuration_broken_before_we_came_blocks_and_nothing_is_touched(target: Target) -> None:
    before, served = target.bytes_on_disk(), target.served()
    with broken_configuration(target):
        outcome = target.deploy(target.issue())
    assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "config_test_failed")
    assert "broken before we came" in outcome["message"]
    assert (target.bytes_on_disk(), target.served()) == (before, served)


def test_t5_a_configuration_that_our_files_break_is_rolled_back(nginx: Target) -> None:
    """Another server block uses the same key file with a certificate of its own."""
    key = next(file.path for file in nginx.site.files if file.kind == "key")
    fullchain = next(file.path for file in nginx.site.files if file.kind == "fullchain")
    nginx.host.run(["cp", fullchain, "/etc/ssl/other.pem"])
    nginx.host.write(
        "/etc/nginx/conf.d/other.conf",
        "server { listen 127.0.0.1:9443 ssl; server_name other.lab.test; "
        f"ssl_certificate /etc/ssl/other.pem; ssl_certificate_key {key}; }}\n",
    )
    try:
        nginx.host.run(["systemctl", "reload", "nginx"])
        before, served, metadata = nginx.bytes_on_disk(), nginx.served(), nginx.metadata()
        outcome = nginx.deploy(nginx.issue())
        assert (outcome["state"], outcome["reason"]) == ("rolled_back", "config_test_failed")
        assert (nginx.bytes_on_disk(), nginx.served(), nginx.metadata()) == (before, served, metadata)
        nginx.host.run(["nginx", "-t"])
    finally:
        nginx.host.run(["rm", "-f", "/etc/nginx/conf.d/other.conf", "/etc/ssl/other.pem"])
        nginx.host.run(["systemctl", "reload", "nginx"])


def test_t5_a_certificate_that_breaks_the_configuration_keeps_no_neighbour_back(
    nginx: Target, authority: Authority
) -> None:
    """Another server block has a certificate of its own with that key, and a third one all of its own."""
    key, fullchain = nginx.path("key"), nginx.path("fullchain")
    old, new = authority.issue("spare.lab.test"), authority.issue("spare.lab.test")
    nginx.host.run(["cp", fullchain, "/etc/ssl/other.pem"])
    nginx.host.write("/etc/ssl/spare.pem", old.certificate + old.chain + old.private_key)
    blocks = {"other": ("/etc/ssl/other.pem", key), "spare": ("/etc/ssl/spare.pem", "/etc/ssl/spare.pem")}
    lines = [
        f"server {{ listen 127.0.0.1:9443 ssl; server_name {name}.lab.test; "
        f"ssl_certificate {files[0]}; ssl_certificate_key {files[1]}; }}\n"
        for name, files in blocks.items()
    ]
    nginx.host.write("/etc/nginx/conf.d/other.conf", "".join(lines))
    try:
        nginx.host.run(["systemctl", "reload", "nginx"])
        shown = ["openssl", "s_client", "-connect", "127.0.0.1:9443", "-servername", "spare.lab.test"]
        nginx.host.wait_until(
            lambda: old.certificate.strip() in nginx.host.run(shown, check=False).stdout,
            "the third one is not shown",
            60,
        )
        before, served = nginx.bytes_on_disk(), nginx.served()
        request = nginx.request(nginx.issue())
        spare = nginx.wish(
            id="dep-spare",
            bundle="spare",
            certificate="spare",
            names=["spare.lab.test"],
            listeners=["127.0.0.1:9443"],
            files=[{"path": "/etc/ssl/spare.pem", "kind": "combined", "sha256": None}],
        )
        request["deployments"].append(spare)
        request["bundles"]["spare"] = new.bundle()
        outcomes = {outcome["id"]: outcome for outcome in nginx.send(request)["deployments"]}
        broken, placed = outcomes["dep-www"], outcomes["dep-spare"]
        assert (broken["state"], broken["reason"]) == ("rolled_back", "config_test_failed"), broken
        assert (placed["state"], placed["live_fingerprint"]) == ("deployed", new.fingerprint)
        assert (nginx.bytes_on_disk(), nginx.served()) == (before, served)
    finally:
        nginx.host.run(
            ["rm", "-f", "/etc/nginx/conf.d/other.conf", "/etc/ssl/other.pem", "/etc/ssl/spare.pem"]
        )
        nginx.host.run(["systemctl", "reload", "nginx"])


def test_t6_a_reload_that_does_nothing_is_noticed_and_rolled_back(target: Target) -> None:
    before, served = target.bytes_on_disk(), target.served()
    with reload_that_does(target.host, unit(target), "/bin/true"):
        outcome = target.deploy(target.issue(), verify_seconds=1)
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "not_served")
    assert "not the new certificate" in outcome["message"]
    assert (target.bytes_on_disk(), target.served()) == (before, served)


def test_t6_a_reload_that_fails_is_rolled_back(target: Target) -> None:
    before, served = target.bytes_on_disk(), target.served()
    with reload_that_does(target.host, unit(target), "/bin/false"):
        outcome = target.deploy(target.issue())
    # The roll-back cannot reload either: handshakes decide, and they show the old certificate.
    assert (outcome["state"], outcome["reason"]) == ("rolled_back", "reload_failed")
    assert (target.bytes_on_disk(), target.served()) == (before, served)


def test_t7_a_server_that_is_stopped_stays_stopped_and_gets_its_files(target: Target) -> None:
    target.host.run(["systemctl", "stop", unit(target)])
    try:
        issued = target.issue()
        outcome = target.deploy(issued)
        assert outcome["state"] == "staged"
        state = target.host.run(["systemctl", "is-active", unit(target)], check=False).stdout.strip()
        assert state == "inactive"
    finally:
        target.host.run(["systemctl", "start", unit(target)])
    assert target.served() == issued.fingerprint


def test_t8_deploys_that_come_at_once_take_turns(nginx: Target) -> None:
    issued = [nginx.issue() for _ in range(4)]
    outcomes: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda one=one: outcomes.append(nginx.deploy(one))) for one in issued]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert [outcome["state"] for outcome in outcomes] == ["deployed"] * 4
    assert nginx.served() == outcomes[-1]["live_fingerprint"]


def test_t8_a_host_that_is_held_for_too_long_is_reported_as_busy(nginx: Target) -> None:
    nginx.fail_at("staged", "hold=60")
    holder = threading.Thread(target=lambda: nginx.deploy(nginx.issue()))
    holder.start()
    try:
        nginx.host.wait_until(lambda: nginx.host.exists(HELD), "nobody holds the lock", 60)
        answer = _kind_of(lambda: nginx.deploy(nginx.issue(), lock_seconds=0.2))
    finally:
        nginx.host.run(["rm", "-f", HELD])
        holder.join(60)
    assert answer == "busy"


def test_t1_a_full_disk_blocks_and_the_old_files_are_untouched(nginx: Target) -> None:
    folder = nginx.site.files[0].path.rpartition("/")[0]
    nginx.host.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", "/mnt"])
    nginx.host.run(["sh", "-c", f"cp -a {folder}/. /mnt/ && mount --move /mnt {folder}"], check=False)
    moved = nginx.host.run(["findmnt", "-n", folder], check=False).returncode == 0
    if not moved:
        nginx.host.run(["mount", "--bind", "/mnt", folder])
    try:
        nginx.host.run(["sh", "-c", f"dd if=/dev/zero of={folder}/filler bs=1k count=64"], check=False)
        before, served = nginx.bytes_on_disk(), nginx.served()
        outcome = nginx.deploy(nginx.issue())
        assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "no_space")
        assert (nginx.bytes_on_disk(), nginx.served()) == (before, served)
    finally:
        nginx.host.run(["umount", folder])
        if not moved:
            nginx.host.run(["umount", "/mnt"])


def test_t2_a_file_that_cannot_be_changed_blocks_before_any_other_is(nginx: Target) -> None:
    folder = nginx.site.files[0].path.rpartition("/")[0]
    nginx.host.run(["mount", "--bind", folder, folder])
    nginx.host.run(["mount", "-o", "remount,ro,bind", folder])
    try:
        before, served = nginx.bytes_on_disk(), nginx.served()
        outcome = nginx.deploy(nginx.issue())
        assert (outcome["state"], outcome["reason"]) == ("blocked_by_host", "not_writable")
        assert (nginx.bytes_on_disk(), nginx.served()) == (before, served)
    finally:
        nginx.host.run(["umount", folder])


def test_t12_owner_mode_acl_and_attributes_stay(nginx: Target) -> None:
    key = next(file.path for file in nginx.site.files if file.kind == "key")
    nginx.host.run(["chown", "root:www-data", key])
    nginx.host.run(["chmod", "0640", key])
    nginx.host.run(["setfacl", "-m", "u:nobody:r", key])
    nginx.host.run(["setfattr", "-n", "user.team", "-v", "shop", key])
    try:
        before = nginx.metadata()
        outcome = nginx.deploy(nginx.issue())
        assert outcome["state"] == "deployed"
        assert nginx.metadata() == before
        assert 'user.team="shop"' in nginx.host.run(["getfattr", "-d", "--absolute-names", key]).stdout
    finally:
        nginx.host.run(["setfacl", "-b", key])
        nginx.host.run(["setfattr", "-x", "user.team", key])
        nginx.host.run(["chown", "root:root", key])
        nginx.host.run(["chmod", "0600", key])


def test_t15_a_file_that_is_not_what_the_scan_saw_is_a_conflict(target: Target) -> None:
    before, served = target.bytes_on_disk(), target.served()
    files = [{"path": file.path, "kind": file.kind, "sha256": "0" * 64} for file in target.site.files]
    outcome = target.deploy(target.issue(), deployments=[target.wish(files=files)])
    assert (outcome["state"], outcome["reason"]) == ("conflict", "file_changed")
    assert (target.bytes_on_disk(), target.served()) == (before, served)


def test_x4_a_key_of_another_certificate_is_refused(target: Target) -> None:
    before = target.bytes_on_disk()
    bundle = {**target.issue().bundle(), "private_key": target.issue().private_key}
    outcome = target.deploy(target.issue(), bundles={target.site.key: bundle})
    assert (outcome["state"], outcome["reason"]) == ("refused", "key_mismatch")
    assert target.bytes_on_disk() == before


def test_two_certificates_that_claim_one_file_are_both_refused(nginx: Target) -> None:
    before = nginx.bytes_on_disk()
    request = nginx.request(nginx.issue())
    request["bundles"]["other"] = nginx.issue().bundle()
    request["deployments"].append(nginx.wish(id="dep-2", bundle="other"))
    outcomes = nginx.send(request)["deployments"]
    assert {outcome["reason"] for outcome in outcomes} == {"file_claimed_twice"}
    assert nginx.bytes_on_disk() == before


def test_a_file_that_holds_neither_certificate_nor_key_is_never_overwritten(nginx: Target) -> None:
    nginx.host.write("/etc/corpus.conf", "who writes a configuration may name any file\n")
    before = nginx.served()
    files = [
        {"path": "/etc/corpus.conf", "kind": "key", "sha256": None} if file["kind"] == "key" else file
        for file in nginx.wish()["files"]
    ]
    outcome = nginx.deploy(nginx.issue(), deployments=[nginx.wish(files=files)])
    assert (outcome["state"], outcome["reason"]) == ("refused", "not_ours_to_write")
    assert nginx.host.read("/etc/corpus.conf").startswith("who writes")
    assert nginx.served() == before
    nginx.host.run(["rm", "/etc/corpus.conf"])


def test_a_path_that_climbs_is_refused(nginx: Target) -> None:
    wish = nginx.wish(files=[{"path": "/etc/ssl/../shadow", "kind": "key", "sha256": None}])
    outcome = nginx.deploy(nginx.issue(), deployments=[wish])
    assert (outcome["state"], outcome["reason"]) == ("refused", "bad_path")


def test_a_service_that_we_do_not_know_is_named(nginx: Target) -> None:
    answer = _kind_of(lambda: nginx.deploy(nginx.issue(), deployments=[nginx.wish(service="gopherd")]))
    assert answer == "unknown_service"


def test_one_server_that_cannot_does_not_keep_back_another_on_the_same_host(
    small_lab: Lab, nginx: Target, authority: Authority
) -> None:
    request = nginx.request(nginx.issue())
    bad = authority.issue("x.lab.test")
    request["bundles"]["bad"] = bad.bundle()
    request["deployments"].append(
        {
            "id": "dep-bad",
            "certificate": "bad",
            "service": "haproxy",
            "names": [],
            "listeners": ["*:8443"],
            "files": [{"path": "/etc/ssl/bad.pem", "kind": "combined", "sha256": None}],
            "bundle": "bad",
        }
    )
    configuration = nginx.host.read("/etc/haproxy/haproxy.cfg")
    nginx.host.write("/etc/haproxy/haproxy.cfg", "this is no configuration\n")
    try:
        outcomes = {outcome["id"]: outcome for outcome in nginx.send(request)["deployments"]}
    finally:
        nginx.host.write("/etc/haproxy/haproxy.cfg", configuration)
    assert outcomes["dep-www"]["state"] == "deployed"
    assert outcomes["dep-bad"]["state"] == "blocked_by_host"
    assert not small_lab.hosts["web1"].exists("/etc/ssl/bad.pem")


def test_a_client_never_fails_a_handshake_while_ten_deploys_go_by(nginx: Target) -> None:
    failures: list[str] = []
    made = 0
    over = threading.Event()

    def ask() -> None:
        nonlocal made
        while not over.is_set():
            try:
                nginx.served()
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is counted
                failures.append(repr(error))
            made += 1

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        states = [nginx.deploy(nginx.issue())["state"] for _ in range(10)]
    finally:
        over.set()
        asking.join(30)
    assert states == ["deployed"] * 10
    assert made > 50
    assert failures == []


def _kind_of(work: Any) -> str:
    """The kind of error that the host program answers with, or the reason of a settled outcome."""
    try:
        outcome = work()
    except HostProgramError as error:
        return error.kind
    return str(outcome["reason"])


def test_a_place_that_nobody_can_look_at_is_told_and_keeps_no_neighbour_back(nginx: Target) -> None:
    """Success could not be shown there, so nothing is tried; the other certificate is deployed."""
    before = nginx.bytes_on_disk()
    request = nginx.request(nginx.issue())
    request["deployments"].append(
        nginx.wish(
            id="dep-dark",
            listeners=["*:9"],
            bundle="dark",
            files=[{"path": "/etc/ssl/dark.pem", "kind": "combined", "sha256": None}],
        )
    )
    request["bundles"]["dark"] = nginx.issue().bundle()
    outcomes = {outcome["id"]: outcome for outcome in nginx.send(request)["deployments"]}
    assert (outcomes["dep-dark"]["state"], outcomes["dep-dark"]["reason"]) == (
        "blocked_by_host",
        "not_verifiable",
    )
    assert outcomes["dep-www"]["state"] == "deployed"
    assert nginx.bytes_on_disk() != before
    assert not nginx.host.exists("/etc/ssl/dark.pem")


def test_an_rsa_and_ecdsa_pair_of_a_server_that_speaks_tls_1_3_alone_is_deployed_one_by_one(
    nginx: Target, authority: Authority
) -> None:
    pair = {kind: authority.issue("pair.lab.test", key_type=kind) for kind in ("rsa-2048", "ec-256")}
    for kind, issued in pair.items():
        nginx.host.write(f"/etc/ssl/pair-{kind}.pem", issued.certificate + issued.chain + issued.private_key)
    files = [f"/etc/ssl/pair-{kind}.pem" for kind in pair]
    lines = "".join(f"ssl_certificate {file}; ssl_certificate_key {file}; " for file in files)
    block = f"server {{ listen 9444 ssl; server_name pair.lab.test; ssl_protocols TLSv1.3; {lines}}}\n"
    nginx.host.write("/etc/nginx/conf.d/pair.conf", block)
    try:
        nginx.host.run(["systemctl", "reload", "nginx"])
        for kind in pair:
            wish = nginx.wish(
                listeners=["*:9444"],
                names=["pair.lab.test"],
                files=[{"path": f"/etc/ssl/pair-{kind}.pem", "kind": "combined", "sha256": None}],
            )
            new = authority.issue("pair.lab.test", key_type=kind)
            outcome = nginx.deploy(new, deployments=[wish])
            assert (outcome["state"], outcome["live_fingerprint"]) == ("deployed", new.fingerprint), kind
    finally:
        nginx.host.run(["sh", "-c", "rm -f /etc/nginx/conf.d/pair.conf /etc/ssl/pair-*"])
        nginx.host.run(["systemctl", "reload", "nginx"])


def test_a_server_that_root_would_not_believe_is_not_taken_for_a_stopped_one(nginx: Target) -> None:
    nginx.host.run(["systemctl", "stop", "nginx"])
    nginx.host.run(["sh", "-c", "cp /usr/sbin/nginx /tmp/nginx && chown nobody /tmp/nginx && /tmp/nginx"])
    try:
        before, served = nginx.bytes_on_disk(), nginx.served()
        outcome = nginx.deploy(nginx.issue())
        assert outcome["state"] == "blocked_by_host"
        assert outcome["reason"] in ("not_trusted", "served_by_another")
        assert (nginx.bytes_on_disk(), nginx.served()) == (before, served)
    finally:
        nginx.host.run(["sh", "-c", "/tmp/nginx -s stop; sleep 1; rm -f /tmp/nginx"], check=False)
        nginx.host.run(["systemctl", "start", "nginx"])
