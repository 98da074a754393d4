"""Bindings that share a certificate file are one place."""

from dataclasses import replace

from notafter.domain.deployment import FileKind
from notafter.domain.outcome import Binding, FoundFile
from notafter.domain.place import places


def binding(name: str, listener: str, path: str = "/a.pem", kind: FileKind = FileKind.FULLCHAIN) -> Binding:
    return Binding(
        service="nginx",
        config_file="/etc/nginx/x",
        line=1,
        names=(name,),
        listeners=(listener,),
        files=(FoundFile("/a.key", FileKind.KEY, None), FoundFile(path, kind, "cd" * 32)),
        fingerprint="ab" * 32,
    )


def test_bindings_of_one_file_and_the_same_listeners_are_joined() -> None:
    (place,) = places([binding("a.example", "*:443"), binding("b.example", "*:443")]).values()
    assert place.names == ("a.example", "b.example")
    assert place.listeners == ("*:443",)
    assert len(place.files) == 2


def test_a_name_is_never_asked_for_where_it_is_not_served() -> None:
    found = [binding("a.example", "*:443"), binding("b.example", "*:443"), binding("c.example", "*:8443")]
    (place,) = places(found).values()
    assert (place.names, place.listeners) == (("a.example", "b.example"), ("*:443",))


def test_two_files_are_two_places_although_one_vhost_names_both() -> None:
    pair = [binding("a.example", "*:443", "/rsa.pem"), binding("a.example", "*:443", "/ec.pem")]
    assert set(places(pair)) == {("nginx", "/rsa.pem"), ("nginx", "/ec.pem")}


def test_each_alias_of_a_keystore_is_a_place() -> None:
    store = [replace(binding(f"{alias}.example", "*:443"), files=(of(alias),)) for alias in ("a", "b", "a")]
    found = places(store)
    assert set(found) == {("nginx", "/s.p12#a"), ("nginx", "/s.p12#b")}
    assert found["nginx", "/s.p12#b"].names == ("b.example",)
    assert [file.path for file in found["nginx", "/s.p12#a"].files] == ["/s.p12"]


def of(alias: str) -> FoundFile:
    return FoundFile("/s.p12", FileKind.PKCS12, "cd" * 32, alias)


def test_what_a_server_keeps_in_a_store_of_its_own_is_a_place_by_the_name_it_is_for() -> None:
    own = replace(binding("a.example", "*:443"), files=(), config_file="/acme.json", names=("a.example", "b"))
    (key,) = places([own])
    assert key == ("nginx", "/acme.json#a.example")
    assert places([replace(own, fingerprint=None)]) == {}
    assert places([replace(own, names=())]) == {}


def test_a_binding_without_a_certificate_file_is_no_place() -> None:
    assert places([binding("a.example", "*:443", kind=FileKind.CHAIN)]) == {}
