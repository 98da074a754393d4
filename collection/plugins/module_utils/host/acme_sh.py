# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that knows acme.sh: its command line, files, exit codes and messages.

Each attempt has a home of its own, thrown away later: runs that share one disturb each
other, and a kill can corrupt it. The home is filled as if the certificate had been issued
before (its `.conf`, the new CSR, the certificate that it replaces) and then renewed by
force: so acme.sh signs our CSR, needs no key, and sends ARI's `replaces` (RFC 9773 §5).
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import time
from typing import Dict, Iterator, List, Optional, Tuple

from . import commands, pem, propagation, state, talk, txt_records
from .errors import HostError
from .failure import Failure, classify
from .order import Order
from .talk import Talk

PLACES = ("/usr/share/acme.sh/acme.sh", "/usr/bin/acme.sh", "/root/.acme.sh/acme.sh", "/opt/acme.sh/acme.sh")
OLDEST = (3, 1, 4)
POLL = 0.2


def program(wish: Optional[str] = None) -> str:
    """The path of acme.sh here; raises HostError when there is none or it is too old."""
    for path in [wish] if wish else PLACES:
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                match = re.search(r"^VER=v?([0-9]+)\.([0-9]+)\.([0-9]+)", stream.read(2000), re.MULTILINE)
        except OSError:
            continue
        if match is None:
            continue
        version = tuple(int(part) for part in match.groups())
        if version < OLDEST:
            raise HostError(
                "internal",
                "%s is acme.sh %s; 3.1.4 or later is needed (role notafter.tls.acme_sh)"
                % (path, ".".join(match.groups())),
            )
        return path
    raise HostError("internal", "acme.sh is not on this host; the role notafter.tls.acme_sh puts it there")


class Home:
    """The private, disposable home of one attempt: `attempts/<attempt>/`, 0700."""

    def __init__(self, attempt: str) -> None:
        self.path = state.directory("attempts", attempt)
        self.config = os.path.join(self.path, "home")
        self.output = os.path.join(self.path, "output")
        self.talk = os.path.join(self.config, "talk")
        self._about = os.path.join(self.path, "about.json")

    def _domain(self, order: Order) -> str:
        return os.path.join(self.config, "certificates", order.names[0])

    def _account(self, directory: str) -> str:
        """Where acme.sh looks for the account of a CA: host without port, then the path."""
        host, _slash, path = directory[len("https://") :].partition("/")
        return os.path.join(self.config, "ca", re.sub(r":[0-9]+$", "", host), path.strip("/"))

    def fill(self, order: Order, account_key: str, account_url: Optional[str]) -> None:
        """Makes the home anew with everything that acme.sh is to know."""
        shutil.rmtree(self.config, ignore_errors=True)
        state.write_json(self._about, {"name": order.names[0], "directory": order.directory})
        domain, account = self._domain(order), self._account(order.directory)
        for path in (domain, account):
            os.makedirs(path, mode=0o700)
        key = account_key.encode("ascii")
        _put(os.path.join(account, "account.key"), key)
        about_account = {"CA_EMAIL": order.email}
        if account_url:  # acme.sh registers again unless it finds both of these
            about_account["ACCOUNT_URL"] = account_url
            about_account["CA_KEY_HASH"] = base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
        _put(os.path.join(account, "ca.conf"), _settings(about_account))
        self._fill_settings(order)
        self._fill_certificate(order, domain)

    def _fill_settings(self, order: Order) -> None:
        settings: Dict[str, Optional[str]] = {"NO_TIMESTAMP": "1"}
        if order.replaces is None:
            settings["NO_ARI"] = "1"  # when to renew is decided elsewhere
        if order.ca_bundle:
            settings["CA_BUNDLE"] = os.path.join(self.config, "ca-bundle.pem")
            _put(os.path.join(self.config, "ca-bundle.pem"), order.ca_bundle.encode("ascii"))
        for name, value in order.dns_variables.items():
            # acme.sh sources this file: the provider sees a shell variable that no process
            # listing shows. Some providers read the saved form.
            settings[name] = value
            settings["SAVED_" + name] = value
        _put(os.path.join(self.config, "account.conf"), _settings(settings))

    def _fill_certificate(self, order: Order, domain: str) -> None:
        first = order.names[0]
        _put(os.path.join(domain, first + ".csr"), order.csr.encode("ascii"))
        if order.replaces is not None:
            _put(os.path.join(domain, first + ".cer"), order.replaces.encode("ascii"))
        _put(
            os.path.join(domain, first + ".conf"),
            _settings(
                {
                    "Le_Domain": first,
                    "Le_Alt": ",".join(order.names[1:]) or "no",
                    "Le_Webroot": order.challenge.webroot,
                    "Le_HTTPPort": str(order.challenge.port) if order.challenge.webroot == "no" else None,
                    "Le_TLSPort": str(order.challenge.port) if order.challenge.webroot == "alpn" else None,
                    "Le_ChallengeAlias": "=" + order.challenge.alias if order.challenge.alias else None,
                    "Le_Preferred_Chain": _encoded(order.preferred_chain),
                    "Le_API": order.directory,
                    "Le_Keylength": "2048",  # only decides names of folders; the key is in the CSR
                    "Le_Certificate_Profile": order.profile,
                    "Le_DNSSleep": str(_dns_sleep(order)) if order.challenge.dns else None,
                }
            ),
        )

    def command(self, acme_sh: str, order: Order) -> List[str]:
        """The one way in which acme.sh is called; nothing secret is in it."""
        command = [acme_sh, "--renew", "--force", "--domain", order.names[0], "--server", order.directory]
        command += ["--home", os.path.dirname(os.path.realpath(acme_sh)), "--config-home", self.config]
        command += ["--cert-home", os.path.join(self.config, "certificates"), "--no-color"]
        return command

    def finished(self, order: Order) -> Optional[Tuple[str, str]]:
        """The certificate and chain that an asking under this name has made for this CSR, if any.

        What it replaces lies there as well, and may have the same key.
        """
        domain = self._domain(order)
        for name in ("fullchain.cer", order.names[0] + ".cer"):
            try:
                with open(os.path.join(domain, name), encoding="latin-1") as stream:
                    found = pem.certificates(stream.read())
            except OSError:
                continue
            if (
                found
                and found[0] != order.replaces
                and _public_key("x509", found[0]) == _public_key("req", order.csr)
            ):
                return found[0], "".join(found[1:])
        return None

    def about(self) -> Optional[Tuple[str, str]]:
        """The first name and the CA of what was asked for here last."""
        found = state.read_json(self._about)
        return (found["name"], found["directory"]) if found else None

    def saved(self, name: str) -> Dict[str, str]:
        """What acme.sh has noted of the order for the certificate with this first name."""
        path = os.path.join(self.config, "certificates", name, name + ".conf")
        try:
            with open(path, encoding="latin-1") as stream:
                return dict(re.findall(r"^([A-Za-z_]+)='([^']*)'$", stream.read(), re.MULTILINE))
        except OSError:
            return {}

    def note_txt_records(self) -> None:
        """Keeps in mind which TXT records of the try that was made here still stand in the DNS."""
        about = self.about()
        provider = self.saved(about[0]).get("Le_Webroot", "") if about else ""
        if provider.startswith("dns_") and os.path.exists(self.output):
            txt_records.note(os.path.basename(self.path), provider, _said(self))

    def put(self, order: Order, chain: str) -> None:
        """Lays a certificate with its issuers down where acme.sh would have put it."""
        os.makedirs(self._domain(order), mode=0o700, exist_ok=True)
        state.write(os.path.join(self._domain(order), "fullchain.cer"), chain.encode("ascii"))

    def account_url(self, directory: str) -> Optional[str]:
        """The account URL that the CA gave (RFC 8555 §7.3)."""
        try:
            with open(os.path.join(self._account(directory), "ca.conf"), encoding="utf-8") as stream:
                match = re.search(r"^ACCOUNT_URL='([^']*)'", stream.read(), re.MULTILINE)
        except OSError:
            return None
        return match.group(1) if match else None

    def secretive(self) -> bool:
        """Whether anything but certificates lies here: an attempt under way, or one that a kill left."""
        return any(True for _path in self._all_but_certificates())

    def strip(self) -> None:
        """Removes all but certificates and orders: accounts, credentials, what providers saved, output."""
        for path in self._all_but_certificates():
            os.unlink(path)

    def clear(self) -> None:
        """Removes all but the lock: somebody may wait for it, and must find the same one."""
        for entry in os.scandir(self.path):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != "lock":
                os.unlink(entry.path)

    def _all_but_certificates(self) -> Iterator[str]:
        kept = {os.path.join(self.path, name) for name in ("lock", "order.json", "about.json")}
        for folder, _folders, names in os.walk(self.path):
            for name in names:
                path = os.path.join(folder, name)
                if not name.endswith(".cer") and path not in kept:
                    yield path


def _dns_sleep(order: Order) -> int:
    """For how many seconds acme.sh waits for TXT records; without a wish no longer than they need."""
    wish = order.challenge.dns_sleep
    return propagation.longest(order.timeout) if wish is None else wish


def _put(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)


def _encoded(value: Optional[str]) -> Optional[str]:
    """The form in which acme.sh keeps what may be any text."""
    if value is None:
        return None
    text = base64.b64encode(value.encode("ascii")).decode("ascii")
    return "__ACME_BASE64__START_%s__ACME_BASE64__END_" % text


def _settings(values: Dict[str, Optional[str]]) -> bytes:
    """acme.sh's own form of a setting; order.checked has kept quotes out of every value."""
    lines = ["%s='%s'\n" % (name, value) for name, value in sorted(values.items()) if value is not None]
    if any("'" in value for value in values.values() if value is not None):
        raise HostError("invalid_request", "a setting for acme.sh has a quote in it")
    return "".join(lines).encode("ascii")


def _public_key(kind: str, text: str) -> Optional[bytes]:
    result = commands.run(["openssl", kind, "-noout", "-pubkey"], 20.0, input=text.encode("ascii"))
    return result.stdout if result.returncode == 0 and result.stdout else None


def sign(home: Home, acme_sh: str, order: Order, lock_handle: int) -> Optional[Failure]:
    """Runs acme.sh for one attempt; None means that it said yes, which the caller checks.

    The child inherits the attempt's lock, so that nobody starts a second one beside it even
    when this program is killed; its output goes to a file, so that it need not die with us.
    """
    environment = commands.environment({"HOME": home.path, "TMPDIR": home.path})
    before_curl = talk.stand_between(home.talk, order.directory, order.timeout)
    if before_curl is not None:
        environment["PATH"] = "%s:%s" % (before_curl, environment["PATH"])
    spread = propagation.Propagation(home.talk)
    if before_curl is not None:
        wish = order.challenge.dns_sleep if order.challenge.dns else 0
        spread.put_before_sleep(before_curl, _dns_sleep(order) if wish is None else None)
    with open(home.output, "wb") as output:
        process = subprocess.Popen(
            home.command(acme_sh, order),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home.path,
            env=environment,
            start_new_session=True,
            pass_fds=(lock_handle,),
        )
    _put(os.path.join(home.path, "process"), b"%d" % process.pid)
    state.failpoint("acme-sh-started")
    watch = _Watch(home, order.timeout)
    while process.poll() is None and not watch.is_hopeless():
        spread.look(_said(home))
        time.sleep(POLL)
    ended = process.poll() is not None
    commands.end_group(process.pid)
    code = process.wait()
    state.failpoint("signed")
    if code == 0:
        return None
    text = _hidden(_said(home).decode("utf-8", "backslashreplace"), order)
    failure = classify(text, _talk(home), order.directory)
    if spread.missing and failure.failure_class in ("challenge_failed", "dns_provider"):
        failure = failure._replace(message="%s; before that, %s" % (failure.message, spread.missing))
    return failure if ended else watch.ended_by_us(failure)


class _Watch:
    """Looks on while acme.sh runs, and sees when nothing good can come of it any more."""

    def __init__(self, home: Home, timeout: float) -> None:
        self._home = home
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._waits = 0
        self._why: Optional[str] = None
        self._retry_after: Optional[int] = None

    def is_hopeless(self) -> bool:
        """Whether to end it: it would be late, or it would go on asking a CA that cannot or will not."""
        left = self._deadline - time.monotonic()
        said = _said(self._home)
        waits = _WAITS.findall(said)
        new, self._waits = waits[self._waits :], len(waits)
        longest = max([int(seconds) for seconds in new] or [0])
        if longest > talk.LONGEST_WAIT:
            self._why, self._retry_after = "the CA wants to be asked again in %d s" % longest, longest
        elif left <= longest:
            self._why = "acme.sh did not end within %d s" % self._timeout
        elif said.count(b"Could not get nonce") > (0 if talk.left_alone(self._home.talk) else 2):
            self._why = "the CA gives no nonce"
        else:  # without a directory it would go on for 100 silent seconds
            return b"Cannot init API for" in said or b"Sleeping for 10 seconds and retrying." in said
        return True

    def ended_by_us(self, failure: Failure) -> Failure:
        """The failure of an acme.sh that did not end by itself; what the CA itself has said comes first."""
        if self._why is None or failure.type is not None or failure.failure_class == "rate_limited":
            return failure
        if failure.failure_class == "dns_provider":
            return failure._replace(message="%s; %s" % (self._why, failure.message))
        return Failure(
            "ca_unavailable",
            "%s; %s" % (self._why, failure.message),
            None,
            None,
            failure.retry_after if self._retry_after is None else self._retry_after,
        )


# For the CA's sake; acme.sh also sleeps until TXT records have spread, which is as it was told.
_WAITS = re.compile(rb"Sleeping for ([0-9]{1,9}) seconds(?! to wait for| first)")


def _said(home: Home) -> bytes:
    with open(home.output, "rb") as stream:
        return stream.read(4 * 1024 * 1024)


def _hidden(text: str, order: Order) -> str:
    for value in order.dns_variables.values():
        if len(value) > 3:
            text = text.replace(value, "[hidden]")
    return text


def _talk(home: Home) -> Talk:
    """What the CA was asked; where acme.sh asked by wget, only the last answer is known."""
    found = talk.record(home.talk)
    if found.entries:
        return found
    try:
        with open(os.path.join(home.config, "http.header"), encoding="latin-1") as stream:
            return Talk([talk.answered(stream.read(65536))])
    except OSError:
        return found
