# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What acme.sh asks a CA and what that answers: bounded, put on record, and ended when the CA says so.

acme.sh asks by curl, without any limit of time or size; it overlooks that a request failed, takes
the headers of an earlier answer for those of this one, keeps half a body as if it were whole, and
forgets a Retry-After. So a script of ours stands before curl in the search path of an attempt. On a
host that has wget alone, or forbids programs below /var, acme.sh does without it.
"""

import json
import os
import re
import shlex
import shutil
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import commands

#: Seconds for one request, unless an attempt has little time itself.
LONGEST_REQUEST = 60
#: Seconds that acme.sh may wait for a busy CA within one attempt; what is more is left to the next.
LONGEST_WAIT = 60
_SHARE = 4
_SHOWN = 1000

# acme.sh gives the file for the headers first and the URL last. Of what a DNS provider's hook asks only
# the time is bounded, and how it was answered is noted: of its URL the host alone, the rest may be secret.
# `ulimit -f` counts blocks of 512 or 1,024 bytes: no body has more than 2 MiB.
_SCRIPT = r"""#!/bin/sh
here=%(here)s
if [ "$1 $2" != "--silent --dump-header" ]; then
  exec %(curl)s --connect-timeout 15 --max-time 300 "$@"
fi
for url; do :; done
header=$3
method=POST
case " $* " in *" -I "*) method=HEAD ;; *" -X "*) ;; *) method=GET ;; esac
told() {
  status= wait= location=
  while IFS= read -r line; do
    case $line in
      HTTP/*) status=${line#* }; status=${status%%%%[!0-9]*}; wait= location= ;;
      [Rr][Ee][Tt][Rr][Yy]-[Aa][Ff][Tt][Ee][Rr]:*) wait=${line#*:} ;;
      [Ll][Oo][Cc][Aa][Tt][Ii][Oo][Nn]:*) location=${line#*:} ;;
    esac
  done <"$header"
  wait=${wait%%%%"$(printf '\r')"}
}
: >"$header"
case "$url" in
  %(origin)s*) ;;
  *)
    %(curl)s --connect-timeout 15 --max-time %(seconds)d "$@"
    code=$?
    told
    host=${url#*://} host=${host%%%%[/?#]*}
    before=$(wc -l 2>/dev/null <"$here/asked")
    printf '%%s\t%%s\t%%s\t%%s\t%%s\t%%d\n' \
      "$method" "$code" "$status" "$wait" "${host##*@}" "$before" >>"$here/provider"
    exit "$code" ;;
esac
[ -e "$here/left-alone" ] && exit 7
rm -f "$here/body"
printf '%%s\n' "$url" >"$here/under-way"
limits="--connect-timeout 15 --proto =https --max-time %(seconds)d"
(ulimit -f 2048; exec %(curl)s "$@" $limits --output "$here/body") 2>/dev/null
code=$?
told
printf '%%s\t%%s\t%%s\t%%s\t%%s\n' "$method" "$code" "$status" "$wait" "$url" >>"$here/asked"
[ "$status" != 201 ] || printf '%%s\n' "$location" >"$here/made"
rm -f "$here/under-way"
case $code$status in
  0[123]??) ;;
  *) cp "$here/body" "$here/refusal" 2>/dev/null || : >"$here/refusal" ;;
esac
case $status$method in
  429*) : >"$here/left-alone" ;;
  503*) case $method${wait# } in
      POST|POST[0-9]|POST[0-5][0-9]|GET|HEAD) ;;
      *) : >"$here/left-alone" ;;
    esac ;;
esac
if [ "$code" != 0 ]; then
  : >"$header"
  exit "$code"
fi
grep -q '"invalid"' "$here/body" 2>/dev/null && cp "$here/body" "$here/invalid"
cat "$here/body" 2>/dev/null
exit 0
"""

_CURL = {
    6: "its name does not resolve",
    7: "it refuses the connection",
    18: "its answer breaks off",
    28: "it does not answer in time",
    35: "the TLS handshake fails",
    51: "its TLS certificate is not for this name",
    52: "it gives no answer",
    56: "its answer breaks off",
    60: "its TLS certificate is not trusted, or not for this name; give the CA's own root as `bundle`",
    23: "its answer is too large",
    63: "its answer is too large",
    153: "its answer is too large",  # the shell's word for SIGXFSZ
}


class Entry(NamedTuple):
    """One request to the CA and how it was answered."""

    method: str
    code: int  #: curl's exit code
    status: Optional[int]
    retry_after: Optional[int]
    url: str

    def failed(self) -> bool:
        """Whether there is no answer, or one that is none of what was asked for."""
        return self.code != 0 or self.status is None or self.status >= 400

    def busy(self) -> bool:
        """Whether the CA said that too much is asked of it."""
        return self.code == 0 and self.status in (429, 503)

    def why(self) -> str:
        """What went wrong with it, in words."""
        if self.code:
            return _CURL.get(self.code, "curl says %d" % self.code)
        return "it answers %s" % self.status


class Talk(NamedTuple):
    """All that an attempt asked the CA, in order, and the body of the last answer that was an error."""

    entries: List[Entry]
    refusal: str = ""
    #: The last answer that speaks of an authorisation or an order that came to nothing.
    invalid: str = ""
    #: What the provider's hook asked to have the TXT records set; the host alone is the URL.
    provider: Tuple[Entry, ...] = ()

    def last_failure(self) -> Optional[Entry]:
        """The request that failed last, unless acme.sh got over it: a nonce that was refused, say."""
        failed = [number for number, entry in enumerate(self.entries) if entry.failed()]
        if not failed:
            return None
        entry = self.entries[failed[-1]]
        later = [other.url for other in self.entries[failed[-1] + 1 :] if not other.failed()]
        return None if entry.url in later else entry

    def provider_failure(self, writing: bool) -> Optional[Entry]:
        """The request to the DNS provider that failed last, of those that change something or of all."""
        failed = [
            entry for entry in self.provider if entry.failed() and (entry.method == "POST" or not writing)
        ]
        return failed[-1] if failed else None

    def problem(self) -> Dict[str, Any]:
        """The CA's problem document (RFC 7807), or {} where it sent none."""
        return _object(self.refusal)

    def challenge_problem(self) -> Dict[str, Any]:
        """Why the CA did not take a proof (RFC 8555 §8), or {} where it did not say."""
        document = _object(self.invalid)
        challenges = document.get("challenges")
        found = (
            [one.get("error") for one in challenges if isinstance(one, dict)]
            if isinstance(challenges, list)
            else []
        )
        told = [one for one in [*found, document.get("error")] if isinstance(one, dict)]
        return told[0] if told else {}


def _object(text: str) -> Dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def stand_between(folder: str, directory: str, timeout: float) -> Optional[str]:
    """Puts the script into `folder` and returns the folder; None where there is no curl to stand before."""
    curl = shutil.which("curl", path=commands.SEARCH_PATH)
    if curl is None:
        return None
    os.makedirs(folder, mode=0o700)
    match = re.match(r"https://[^/]+/", directory)
    text = _SCRIPT % {
        "here": shlex.quote(folder),
        "curl": shlex.quote(curl),
        "origin": shlex.quote(match.group(0) if match else directory),
        "seconds": max(1, min(LONGEST_REQUEST, int(timeout / _SHARE))),
    }
    handle = os.open(
        os.path.join(folder, "curl"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o700
    )
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    return folder


def left_alone(folder: str) -> bool:
    """Whether the CA wants to be left alone longer than acme.sh would: it is asked nothing more."""
    return os.path.exists(os.path.join(folder, "left-alone"))


def record(folder: str) -> Talk:
    """What the script has put on record."""
    lines = _read(os.path.join(folder, "asked")).splitlines()
    entries = [_entry(line.split("\t", 4)) for line in lines if line.count("\t") >= 4]
    return Talk(
        entries,
        _read(os.path.join(folder, "refusal")),
        _read(os.path.join(folder, "invalid")),
        _of_provider(folder),
    )


def under_way(folder: str) -> str:
    """The URL that was being asked for when somebody was killed; empty where nothing was."""
    return _read(os.path.join(folder, "under-way")).strip()


def made(folder: str) -> str:
    """The URL of what the CA has made last: after an account, the order (RFC 8555 §7.4)."""
    return _read(os.path.join(folder, "made")).strip()


def _of_provider(folder: str) -> Tuple[Entry, ...]:
    """What its hook asked before the CA was asked for more: what came later took the records away."""
    lines = _read(os.path.join(folder, "provider")).splitlines()
    asked = [line.split("\t", 5) for line in lines if line.count("\t") >= 5]
    return tuple(_entry(fields[:5]) for fields in asked if fields[5] == asked[0][5])


def _read(path: str) -> str:
    try:
        with open(path, "rb") as stream:
            return stream.read(2 * 1024 * 1024).decode("utf-8", "backslashreplace")
    except OSError:
        return ""


def _entry(fields: List[str]) -> Entry:
    method, code, status, wait, url = fields
    number = int(status) if status.isdigit() else None
    return Entry(method, int(code) if code.isdigit() else 1, number, seconds_of(wait), url)


def answered(headers: str) -> Entry:
    """The last answer, from its headers alone."""
    status = re.match(r"HTTP/[0-9.]+ ([0-9]{3})", headers)
    wait = re.search(r"^retry-after:\s*(.+?)\s*$", headers, re.IGNORECASE | re.MULTILINE)
    return Entry(
        "", 0, int(status.group(1)) if status else None, seconds_of(wait.group(1)) if wait else None, ""
    )


def seconds_of(wait: str) -> Optional[int]:
    """Seconds until the CA wants to be asked again (RFC 9110 §10.2.3: seconds or a date)."""
    wait = wait.strip()
    if wait.isdigit():
        return min(int(wait), 10**9)
    from email.utils import mktime_tz, parsedate_tz  # noqa: PLC0415 - rarely needed, costs 10 ms

    date = parsedate_tz(wait) if wait else None
    try:
        return max(0, int(mktime_tz(date) - time.time())) if date else None
    except (ValueError, OverflowError):
        return None


def readable(text: object) -> str:
    """A stranger's words on one line, of bounded length."""
    words = "".join(sign if sign.isprintable() else " " for sign in str(text)[:_SHOWN])
    return " ".join(words.split())
