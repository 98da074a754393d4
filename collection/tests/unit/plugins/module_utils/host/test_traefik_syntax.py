# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small readers of YAML and TOML say what the libraries say, and tell what they do not understand."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible_collections.notafter.tls.plugins.module_utils.host.services import (
    _traefik_settings,
    _traefik_toml,
    _traefik_tree,
    _traefik_yaml,
)
from hypothesis import given, settings
from hypothesis import strategies as st

Node = _traefik_tree.Node
Told = list[tuple[int, str]]


def plain(node: Node) -> t.Any:
    """A tree as a library would give it; what is unresolved is `...`."""
    if node.trouble:
        return ...
    if node.inner is not None:
        return {name: plain(one) for name, one in node.inner.items()}
    if node.items is not None:
        return [plain(one) for one in node.items]
    return node.text or ""


def read_yaml(text: str) -> tuple[t.Any, Told]:
    """What is read, and what is told of it."""
    told: Told = []
    found = _traefik_yaml.parse(text, lambda said, line: told.append((line, said)), lambda: None)
    return plain(found), told


def read_toml(text: str) -> tuple[t.Any, Told]:
    """The same of TOML."""
    told: Told = []
    found = _traefik_toml.parse(text, lambda said, line: told.append((line, said)), lambda: None)
    return plain(found), told


WORDS = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12).filter(
    lambda word: "{{" not in word
)
KEYS = st.text("abcXYZ019_-", min_size=1, max_size=6).filter(lambda word: not word.startswith("-"))
TREES = st.dictionaries(
    KEYS,
    st.recursive(
        WORDS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(
    TREES,
    st.sampled_from([None, False, True]),
    st.sampled_from([None, "'", '"', "|"]),
    st.sampled_from([20, 999]),
)
def test_yaml_of_every_style_is_read_as_its_library_reads_it(
    tree: dict[str, t.Any], flow: bool | None, style: str | None, width: int
) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, default_style=style, width=width)
    judge = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts of everything
    found, told = read_yaml(text)
    assert told == []
    assert same(found, judge), (text, found, judge)


def same(found: t.Any, judge: t.Any) -> bool:
    """Whether both are alike, but for white space at the ends of blocks and empty collections."""
    if isinstance(judge, dict) and isinstance(found, dict):
        return found.keys() == judge.keys() and all(same(found[name], judge[name]) for name in judge)
    if isinstance(judge, list) and isinstance(found, list):
        return len(found) == len(judge) and all(map(same, found, judge))
    return isinstance(judge, str) and isinstance(found, str) and found.split() == judge.split()


BY_HAND = """\
%YAML 1.2
---
# a comment
"a b": 'it''s'   # another
list:
- one
-   two: 2
    three: |-
      # no comment
      text

- - nested
  -
    - deeper
folded: word
  goes on
inline: {a: [1, "2,]"], 'b': {c: }, }
long: [ first,   # says
  "sec
   ond" ]
tagged: !!str &anchor text
url: http://a.test:80/#here
colons: {at: ":80", name: a:b}
empty:
last: ~
"""


def test_yaml_as_people_write_it_is_read_as_its_library_reads_it() -> None:
    judge = yaml.load(BY_HAND, Loader=yaml.BaseLoader)  # noqa: S506
    found, told = read_yaml(BY_HAND.replace("\n", "\r\n"))
    judge["last"] = ""
    judge["folded"] = "word goes on"
    assert told == []
    assert found == {**judge, "list": found["list"]}
    assert same(found["list"], judge["list"])


@pytest.mark.parametrize(
    ("text", "found", "lines"),
    [
        ("a: *x\nb: 1", {"a": ..., "b": "1"}, []),
        ("a: [*x, {{ .y }}]", {"a": ...}, [1]),
        ("a: x{{ .y }}", {"a": ...}, []),
        ("{{ if .x }}\na: 1\n{{ end }}\n", {"a": "1"}, [1, 3]),
        ("a: 1\n\tb: 2\nc: 3", {"a": "1", "c": "3"}, [2]),
        ("a: 1\nnonsense\nb: 2", {"a": "1", "b": "2"}, [2]),
        ("a:\n  b: 1\n   c: 2\nd: 3", {"a": {"b": "1"}, "d": "3"}, [3]),
        ("a: 'never\nb: 2", {"a": ...}, [1]),
        ("a: [1, 2\nb: 2", {"a": ...}, [1]),
        ("a: 1\na: 2", {"a": "1"}, [2]),
        ("a: 1\n---\na: 2", {"a": "1"}, [2]),
        ("- 1\n- 2", {}, [1]),
        ("a: 1\n? b\nc: 1", {"a": "1", "c": "1"}, [2]),
        ('a: "x\\0"', {"a": ...}, []),
        ('a: "\\ud800\\U99999999"', {"a": "\ufffd\ufffd"}, []),
        ("", {}, []),
    ],
)  # fmt: skip
def test_what_is_no_plain_yaml_is_told_with_its_line(
    text: str, found: dict[str, t.Any], lines: list[int]
) -> None:
    read, told = read_yaml(text)
    assert read == found
    assert [line for line, _said in told] == lines


TOML = """\
# dotted, quoted and inline
a.b."c d" = 'x\\y' # here
"e" = "tab\\t\\u00e9\\U0001F600"
n = 1_000
f = {g = [1, "two", [3]], h.i = true}
m = \"\"\"
first \\
   line
second "quoted" \"\"\"
l = '''
raw \\n'''
[t]
x = 1
[t.u."v.w"]
y = [ # a comment, with ]
  "z",
]
[[l2.l3]]
p = 1
[[l2.l3]]
p = 2
[l2.l3.q]
r = 2020-01-01T00:00:00Z
"""


def test_toml_as_people_write_it() -> None:
    found, told = read_toml(TOML.replace("\n", "\r\n"))
    assert told == []
    assert found == {
        "a": {"b": {"c d": "x\\y"}},
        "e": "tab\té😀",
        "n": "1_000",
        "f": {"g": ["1", "two", ["3"]], "h": {"i": "true"}},
        "m": 'first line\nsecond "quoted" ',
        "l": "raw \\n",
        "t": {"x": "1", "u": {"v.w": {"y": ["z"]}}},
        "l2": {"l3": [{"p": "1"}, {"p": "2", "q": {"r": "2020-01-01T00:00:00Z"}}]},
    }


@pytest.mark.parametrize(
    ("text", "found", "lines"),
    [
        ("a = \nb = 2", {"b": "2"}, [1]),
        ("a 1\nb = 2", {"b": "2"}, [1]),
        ('a = "x\nb = 2', {"b": "2"}, [1]),
        ("a = [1, 2\nb = 2", {}, [2]),
        ("a = 1 2\nb = 2", {"a": "1", "b": "2"}, [1]),
        ("a = 1\na = 2", {"a": "1"}, [2]),
        ("[a\nx = 1\n[b]\ny = 2", {"b": {"y": "2"}}, [1]),
        ("a = 1\n[a.b]\nx = 1", {"a": "1"}, [2]),
        ("a = 1\n[[a]]\nx = 1", {"a": "1"}, [2]),
        ('{{ range .x }}\n[[a]]\nb = "{{ .y }}"\n{{ end }}', {"a": [{"b": ...}]}, [1, 4]),
        ("a = {{ .x }}\nb = 2", {"a": ..., "b": "2"}, []),
        ("a = " + "[" * 99, {}, [1]),
        ("", {}, []),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_told_with_its_line(text: str, found: dict[str, t.Any], lines: list[int]) -> None:
    assert read_toml(text)[0] == found
    assert [line for line, _said in read_toml(text)[1]] == lines


@given(st.text("ab:-[]{}'\"#&*!|>\n \t=.,%~?\\", max_size=60))
@settings(max_examples=200, deadline=None)
def test_nothing_makes_them_raise_or_run_for_ever(text: str) -> None:
    for found, told in (read_yaml(text), read_toml(text)):
        assert isinstance(found, dict)
        assert all(1 <= line <= text.count("\n") + 2 for line, _said in told)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--a.b=c", "-A.D", "e"], {"a": {"b": "c", "d": "e"}}),
        (["--x", "--y=", "--z"], {"x": "true", "y": "", "z": "true"}),
        (["--l[1].m=b", "--l[0].m=a"], {"l": {"1": {"m": "b"}, "0": {"m": "a"}}}),
        (["--t", "--t.u=1", "--t"], {"t": {"u": "1"}}),
        (["healthcheck", "--a=1"], {}),
        (["--", "--a=1"], {}),
        (["---a=1"], {}),
    ],
)
def test_flags(words: list[str], found: dict[str, t.Any]) -> None:
    assert plain(_traefik_settings.flags(words)) == found


def test_variables() -> None:
    told = {
        "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS": ":80",
        "TRAEFIK_VERSION": "3",
        "PATH": "/",
        "TRAEFIK_API": "true",
    }
    assert plain(_traefik_settings.variables(told)) == {
        "entrypoints": {"web": {"address": ":80"}},
        "api": "true",
    }
