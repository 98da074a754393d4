# Copyright: (c) 2026, notafter contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx's configuration is cut into words as nginx does it."""

from __future__ import annotations

import time

import pytest
from ansible_collections.notafter.tls.plugins.module_utils.host.services import _nginx_files
from ansible_collections.notafter.tls.plugins.module_utils.host.services._nginx_syntax import (
    END,
    Block,
    Directive,
    Parser,
    Words,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def words(text: str) -> list[str]:
    """All words and signs of a text."""
    cutter = Words(text)
    found: list[str] = []
    while True:
        said, _place, ended = cutter.statement()
        found += said
        if ended == END:
            return found
        found.append(ended)


class Parsed:
    """The tree of one text with what was warned of."""

    def __init__(self, text: str) -> None:
        self.warned: list[tuple[str, int]] = []
        self.includes: list[str] = []
        parser = Parser(
            _nginx_files.WANTED,
            _nginx_files.INSIDE,
            lambda directive, _block: self.includes.append(directive.arguments[0]),
            lambda message, _file, line: self.warned.append((message, line)),
        )
        self.root = Block(Directive("main", [], "nginx.conf", 0))
        parser.parse(text, "nginx.conf", self.root)

    def servers(self) -> list[dict[str, list[tuple[list[str], int]]]]:
        """The directives of each server, with their lines."""
        found = []
        for server in (server for block in self.root.blocks for server in block.blocks):
            here: dict[str, list[tuple[list[str], int]]] = {}
            for directive in server.directives:
                here.setdefault(directive.name, []).append((directive.arguments, directive.line))
            found.append(here)
        return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen 443 ssl;", ["listen", "443", "ssl", ";"]),
        ("a\tb\r\n;c;", ["a", "b", ";", "c", ";"]),
        ("a \"b c\" 'd;e';", ["a", "b c", "d;e", ";"]),
        ('a "b\\"c" "d\\\\e" f\\ g;', ["a", 'b"c', "d\\e", "f\\ g", ";"]),
        ("a # b; c\nd;", ["a", "d", ";"]),
        ("a b#c;", ["a", "b#c", ";"]),
        ("root /x/${y}z{", ["root", "/x/${y}z", "{"]),
        ("return 200 a}b;", ["return", "200", "a}b", ";"]),
        ("server{listen 80;}", ["server", "{", "listen", "80", ";", "}"]),
        ('a "" b;', ["a", "", "b", ";"]),
        ('a x"y z";', ["a", 'x"y', 'z"', ";"]),
        ("a \\;b;", ["a", "\\;b", ";"]),
    ],
)
def test_words_are_cut_as_nginx_cuts_them(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_several_directives_on_a_line_and_one_on_several_keep_their_lines() -> None:
    parsed = Parsed(
        "http { server { listen 443 ssl; ssl_certificate a;\n\n  ssl_certificate_key\n  b; } }",
    )
    assert parsed.servers() == [
        {
            "listen": [(["443", "ssl"], 1)],
            "ssl_certificate": [(["a"], 1)],
            "ssl_certificate_key": [(["b"], 3)],
        }
    ]


def test_blocks_that_cannot_hold_a_certificate_are_stepped_over() -> None:
    parsed = Parsed(
        'http { map $a $b { "~x{2}" "}"; } server { location ~ "a{1}" { if ($x = "}") { return 200 "{"; } }'
        " ssl_certificate a; } }"
    )
    assert parsed.servers() == [{"ssl_certificate": [(["a"], 1)]}]
    assert not parsed.warned


@pytest.mark.parametrize(
    "lua",
    [
        'ngx.say("}")',
        "ngx.say('}')",
        "-- } } }\n",
        "--[[ } ]] x = {}",
        "--[==[ } ]] } ]==] x = {}",
        "local s = [[ } ]]",
        "local s = [=[ ]] } ]=]",
        'local s = "\\"}"',
        "if a then b = { c = { '}' } } end",
    ],
)
@pytest.mark.parametrize("place", ["", "location / "])
def test_a_block_of_lua_is_opaque(lua: str, place: str) -> None:
    inner = f"content_by_lua_block {{ {lua} \n}}"
    inner = f"{place} {{ {inner} }}" if place else inner
    parsed = Parsed(f"http {{ server {{ {inner} ssl_certificate a; }} }}")
    assert [list(server) for server in parsed.servers()] == [["ssl_certificate"]]
    assert not parsed.warned


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("http { server { listen 1;", 'the file ends inside a block: "}" is missing', 1),
        ("http { }\n}", '"}" without "{"', 2),
        ('http {\n a "b', "a quote is never closed", 2),
        ('http {\n a b "c\n\n\n}', "a quote is never closed", 2),
        ("http { }\nuser root", 'user has no ";" at its end', 2),
        ("http { x_by_lua_block { --[[ }", "a block of Lua never ends", 1),
        ("a \\", "the text ends in the middle of a word", 1),
    ],
)
def test_what_is_broken_is_said_with_its_line(text: str, message: str, line: int) -> None:
    assert (message, line) in Parsed(text).warned


def test_a_line_without_an_end_shows_nothing_of_its_values() -> None:
    (message, _line) = Parsed("root:$6$secret:hash").warned[0]
    assert "secret" not in message


def test_includes_are_asked_for_where_they_stand() -> None:
    assert Parsed(
        "include a; http { include\tb; server { include c; location / { include d; } } }"
    ).includes == [
        "a",
        "b",
        "c",
    ]


def test_nesting_without_end_is_given_up() -> None:
    assert Parsed("a {" * 100000).warned[0][0] == "blocks are nested too deeply"


@pytest.mark.parametrize(
    "text",
    [
        "a" * (1 << 20),
        '"' + "a" * (1 << 20),
        "\\a" * (1 << 19),
        "${" * (1 << 19),
        "a;" * (1 << 18),
        "\n" * (1 << 20),
        "#\n" * (1 << 19),
        "x_by_lua_block {" + "--[" * (1 << 18),
        "x_by_lua_block {" + '"\\' * (1 << 18),
        "\0" * (1 << 20),
    ],
    ids=lambda text: repr(text[:18]),
)
def test_a_megabyte_of_anything_takes_linear_time(text: str) -> None:
    start = time.process_time()
    Parsed(text)
    assert time.process_time() - start < 5


_PIECES = st.sampled_from(
    [
        "server",
        "http",
        "{",
        "}",
        ";",
        '"',
        "'",
        "\\",
        "#",
        "\n",
        " ",
        "$",
        "${",
        "[[",
        "]]",
        "--",
        "a_by_lua_block ",
        "é",
    ]
)


@settings(max_examples=300)
@given(st.one_of(st.text(max_size=200), st.lists(_PIECES, max_size=60).map("".join)))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    Parsed(text)
