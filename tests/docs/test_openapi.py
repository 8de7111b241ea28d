"""docs/reference/openapi.yaml: sound, whole, and of the API that is served."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pierhead import __version__
from pierhead.distribution import challenges
from pierhead.distribution.errors import OCI_ERRORS
from pierhead.distribution.routes import ENDPOINTS
from pierhead.operations import PATHS
from tests import components
from tests.docs.pages import ROOT

PATH_OF_KIND = {
    "ping": "/v2/",
    "catalog": "/v2/_catalog",
    "manifests": "/v2/{name}/manifests/{reference}",
    "blobs": "/v2/{name}/blobs/{digest}",
    "uploads": "/v2/{name}/blobs/uploads/{session}",
    "new upload": "/v2/{name}/blobs/uploads/",
    "tags": "/v2/{name}/tags/list",
    "referrers": "/v2/{name}/referrers/{digest}",
}
METHODS = {"get", "head", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Helm reads YAML, and can be asked for the same in JSON."""
    chart = tmp_path_factory.mktemp("chart")
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: openapi\nversion: 0.0.0\n")
    (chart / "templates").mkdir()
    (chart / "templates/values.yaml").write_text("{{ .Values | toJson }}\n")
    command = [
        str(components.require("helm")),
        "template",
        str(chart),
        "--values",
        str(ROOT / "docs/reference/openapi.yaml"),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    value: dict[str, Any] = json.loads(shown.splitlines()[-1])
    return value


def operations(api: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(path, METHOD) -> operation."""
    return {
        (path, method.upper()): operation
        for path, item in api["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_it_is_of_this_version(api: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d", api["openapi"])
    assert api["info"]["version"] == __version__
    assert api["info"]["title"]


def test_every_endpoint_is_in_it_and_no_other(api: dict[str, Any]) -> None:
    served = {(PATH_OF_KIND[kind], method) for kind, method in ENDPOINTS}
    operational = {(path, method) for path in PATHS for method in ("GET", "HEAD")}

    tokens = {("/token", "GET"), ("/token", "POST"), ("/token/keys", "GET")}

    assert set(operations(api)) == served | operational | tokens
    assert {path for path, _ in tokens} == {path.decode() for path in challenges.PATHS}


def test_operations_are_called_as_in_the_program(api: dict[str, Any]) -> None:
    for (kind, method), (operation, _) in ENDPOINTS.items():
        stated = operations(api)[PATH_OF_KIND[kind], method]["operationId"]
        assert stated == (f"{operation}_head" if method == "HEAD" else operation)


def test_no_operation_has_the_name_of_another(api: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(api).values()]

    assert sorted(set(names)) == sorted(names)


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    references = [value["$ref"] for value in _objects(api) if "$ref" in value]

    assert references
    assert [reference for reference in references if not _leads(api, reference)] == []


def test_nothing_is_defined_in_vain(api: dict[str, Any]) -> None:
    used = {value["$ref"] for value in _objects(api) if "$ref" in value}
    defined = {
        f"#/components/{kind}/{name}"
        for kind, members in api["components"].items()
        if kind != "securitySchemes"
        for name in members
    }

    assert sorted(defined - used) == []


def test_every_parameter_of_a_path_is_defined(api: dict[str, Any]) -> None:
    for path, item in api["paths"].items():
        given = [_resolved(api, parameter) for parameter in item.get("parameters", [])]
        in_path = {parameter["name"] for parameter in given if parameter["in"] == "path" and parameter["required"]}
        assert in_path == set(re.findall(r"{(\w+)}", path)), path


def test_every_operation_has_a_summary_and_described_responses(api: dict[str, Any]) -> None:
    for place, operation in operations(api).items():
        assert operation["summary"], place
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d|default", status), place
            assert _resolved(api, response)["description"], place


def test_every_code_of_a_refusal_is_in_it(api: dict[str, Any]) -> None:
    codes = api["components"]["schemas"]["Errors"]["properties"]["errors"]["items"]["properties"]["code"]["enum"]

    assert sorted(codes) == sorted({code for code, _ in OCI_ERRORS.values()})


def test_the_page_names_every_operation_with_its_path() -> None:
    page = (ROOT / "docs/reference/api.md").read_text()

    for (kind, method), (operation, _) in ENDPOINTS.items():
        path = re.sub(r"{(\w+)}", r"<\1>", PATH_OF_KIND[kind])
        [row] = [line for line in page.splitlines() if f"`{operation}`" in line and line.startswith("| ")]
        assert path in row
        assert method in row.split("|")[1]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _objects(member)
    elif isinstance(value, list):
        for member in value:
            yield from _objects(member)


def _leads(api: dict[str, Any], reference: str) -> bool:
    found: Any = api
    for part in Path(reference).parts[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return reference.startswith("#/") and isinstance(found, dict)


def _resolved(api: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    found: Any = value
    if "$ref" in value:
        found = api
        for part in Path(value["$ref"]).parts[1:]:
            found = found[part]
    resolved: dict[str, Any] = found
    return resolved
