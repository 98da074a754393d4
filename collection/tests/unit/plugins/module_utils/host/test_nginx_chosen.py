# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificate a map of the name asked for leads to, as ngx_http_map_module looks it up."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services._nginx_chosen import Maps
from ansible_collections.notafter.tls.plugins.module_utils.host.services._nginx_files import INSIDE, WANTED
from ansible_collections.notafter.tls.plugins.module_utils.host.services._nginx_syntax import (
    Block,
    Directive,
    Parser,
)

Chosen = list[tuple[list[str], t.Optional[list[str]]]]  # noqa: UP045 - Python 3.9 too


def chosen(text: str, *names: str, values: tuple[str, ...] = ("/tls/$x.crt",)) -> Chosen:
    """What servers with these names show, by maps in the block `http`."""
    root = Block(Directive("main", [], "f", 0))
    said: list[str] = []
    Parser(WANTED, INSIDE, lambda *_: None, lambda *told: said.append(str(told))).parse(
        f"http {{ {text} }}", "f", root
    )
    assert said == []
    maps = Maps(root.blocks[0])
    return [(choice.names, choice.values) for choice in maps.choices(list(values), list(names))]


def test_a_name_has_its_own_value_and_the_others_the_default() -> None:
    text = "map $ssl_server_name $x { default d; A.test a; 'b.test' \"b\"; \\default e; }"
    assert chosen(text, "a.test", "c.test", "b.test") == [
        (["a.test"], ["/tls/a.crt"]),
        (["c.test"], ["/tls/d.crt"]),
        (["b.test"], ["/tls/b.crt"]),
    ]


def test_the_longest_wildcard_counts_and_only_with_hostnames() -> None:
    text = "map $ssl_server_name $x { hostnames; default d; *.test far; *.a.test near; .b.test both; }"
    assert chosen(text, "x.a.test", "b.test", "y.b.test", "z.test") == [
        (["x.a.test"], ["/tls/near.crt"]),
        (["b.test", "y.b.test"], ["/tls/both.crt"]),
        (["z.test"], ["/tls/far.crt"]),
    ]
    assert chosen(text.replace("hostnames;", ""), "x.a.test") == [(["x.a.test"], ["/tls/d.crt"])]


@pytest.mark.parametrize("names", [["*.a.test"], []])
def test_a_server_for_many_names_shows_each_of_the_map_s(names: list[str]) -> None:
    text = "map $ssl_server_name $x { default d; one.a.test 1; two.a.test 2; }"
    found = chosen(text, *names)
    assert (["one.a.test"], ["/tls/1.crt"]) in found
    assert (["two.a.test"], ["/tls/2.crt"]) in found
    assert (names, ["/tls/d.crt"]) in found
    assert (["other.test"], ["/tls/d.crt"]) not in found


def test_what_a_regular_expression_decides_is_not_guessed() -> None:
    text = "map $ssl_server_name $x { default d; a.test a; ~^b b; }"
    assert chosen(text, "a.test", "c.test") == [
        (["a.test"], ["/tls/a.crt"]),
        (["~^b"], ["/tls/b.crt"]),
        (["c.test"], None),
    ]


def test_two_maps_decide_together() -> None:
    text = "map $ssl_server_name $x { default d; a.test a; } map $ssl_server_name $k { default e; b.test b; }"
    assert chosen(text, "a.test", "b.test", values=("$x.crt", "${k}.key")) == [
        (["a.test"], ["a.crt", "e.key"]),
        (["b.test"], ["d.crt", "b.key"]),
    ]


def test_a_map_of_anything_else_is_none_of_ours() -> None:
    root = Block(Directive("main", [], "f", 0))
    Parser(WANTED, INSIDE, lambda *_: None, lambda *_: None).parse(
        "http { map $host $x { a b; } map $ssl_server_name $y { a b; } }", "f", root
    )
    maps = Maps(root.blocks[0])
    assert maps.know(frozenset(("y",)))
    assert not maps.know(frozenset(("x",)))
    assert not maps.know(frozenset(("x", "y")))
    assert not maps.know(frozenset())
