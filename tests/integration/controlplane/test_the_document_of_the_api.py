"""docs/openapi.json says what the API does."""

import json
from typing import Any

import pytest
from notafter.api.application import assemble
from notafter.api.rights import Door
from notafter.domain.user import Right

from tests.integration.controlplane.stage import ROOT

DOCUMENT = assemble().openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_the_committed_document_is_the_one_that_is_served() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert committed == DOCUMENT, "run `notafter openapi > docs/openapi.json`"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_says_what_it_does_who_may_and_how_it_says_no(name: str) -> None:
    operation: dict[str, Any] = OPERATIONS[name]
    assert 10 <= len(operation["summary"]) <= 130
    assert operation["tags"]
    assert operation["x-right"] in {*Right, *Door}
    answers = operation["responses"]
    assert any(status.startswith("2") for status in answers)
    for status, answer in answers.items():
        if not status.startswith("2"):
            (schema,) = answer["content"]["application/problem+json"].values()
            assert schema == {"$ref": "#/components/schemas/Problem"}
    if operation["x-right"] != Door.OPEN:
        assert {"401", "403"} <= answers.keys()
        assert operation["security"]
    else:
        assert "security" not in operation


def test_no_shape_has_two_meanings() -> None:
    """FastAPI writes a module's path into the name of a shape that another module has too."""
    assert [name for name in DOCUMENT["components"]["schemas"] if "__" in name] == []


def test_inputs_take_nothing_that_they_do_not_know() -> None:
    bodies = {
        operation["requestBody"]["content"]["application/json"]["schema"].get("$ref", "").rsplit("/", 1)[-1]
        for operation in OPERATIONS.values()
        if "requestBody" in operation
    }
    assert len(bodies) >= 10
    for name in filter(None, bodies):
        assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False, name
