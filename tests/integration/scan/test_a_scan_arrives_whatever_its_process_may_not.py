"""A scan whose process may start no thread, or open hardly a file, tells what it has found all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.hosts import UNPRIVILEGED, Corpus, Scanned, scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.authority import Authority
    from tests.lab.lab import Lab

SERVER = """server {{ listen 8470 ssl; server_name n{number}.many.test;
  ssl_certificate %C/many.crt; ssl_certificate_key %C/many.key; }}
"""
#: Commands that start the scan, with fewer rights or files than it would like to have.
FEW_FILES = [("prlimit", "--nofile=8"), ("prlimit", "--nofile=5")]


@pytest.fixture(scope="module")
def many(small_lab: Lab, corpus_authority: Authority) -> Iterator[Corpus]:
    """An nginx with more names than there are threads or files to ask for them."""
    corpus = Corpus(small_lab.hosts["web1"], corpus_authority, "/srv/many")
    corpus.certificates("many")
    text = "".join(SERVER.format(number=number) for number in range(40))
    corpus.write("/etc/nginx/conf.d/zz-many.conf", text)
    try:
        corpus.host.run(["systemctl", "reload", "nginx"])
        corpus.host.wait_until(lambda: scan(corpus.host, "nginx").contradicted() == {}, "not all is served")
        yield corpus
    finally:
        corpus.put_back()
        corpus.host.run(["systemctl", "reload", "nginx"])


def told(scanned: Scanned) -> list[list[object]]:
    """What does not depend on who scans."""
    fields = ("config_file", "line", "names", "listeners", "certificate")
    return [[one[field] for field in fields] for one in scanned.bindings]


def test_without_threads_and_processes_all_is_asked_one_after_the_other(many: Corpus) -> None:
    whole = scan(many.host, "nginx", prefix=tuple(UNPRIVILEGED))
    scanned = scan(many.host, "nginx", prefix=(*UNPRIVILEGED, "prlimit", "--nproc=1"))
    assert len(whole.bindings) >= 40
    assert told(scanned) == told(whole)
    assert all(one["served"] for one in scanned.bindings)


@pytest.mark.parametrize("limit", FEW_FILES, ids=" ".join)
def test_where_hardly_a_file_can_be_opened_nothing_is_said_of_what_was_not_asked(
    many: Corpus, limit: tuple[str, ...]
) -> None:
    whole = scan(many.host, "nginx")
    scanned = scan(many.host, "nginx", prefix=limit)
    assert told(scanned) == told(whole)
    assert "Too many open files" not in {
        sight["error"] for one in scanned.bindings for sight in one["served"]
    }
    unknown = [one for one in scanned.bindings if one["certificate"] and not one["served"]]
    assert not unknown or scanned.warned()
