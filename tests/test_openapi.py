"""The OpenAPI document, and that the service is what it says."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bedeck.app import Limits
from serving import Served, publish, served

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("openapi") / "store"
    publish(store)
    with served(store, Limits(bound=10)) as service:
        yield service


def test_no_answer_is_another_than_documented(service: Served):
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 12
    for operation in operations:

        @settings(max_examples=25)
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=list(CHECKS))

        ask()


@pytest.mark.parametrize("mode", ["negative"])
def test_what_is_wrong_is_answered_as_documented(service: Served, mode: str):
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.body or operation.query:

            @settings(max_examples=25, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
            def ask(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=list(CHECKS))

            ask()


def test_a_wrong_document_would_be_found(service: Served):
    document = service.ask("GET", "/openapi.json").json
    answer = document["paths"]["/v1/album/{key}"]["get"]["responses"]["200"]["content"]["application/json"]
    answer["schema"]["properties"]["title"] = {"type": "integer"}
    operation = schemathesis.openapi.from_dict(document)["/v1/album/{key}"]["GET"]
    case = operation.Case(path_parameters={"key": 1})
    with pytest.raises(FailureGroup):
        case.call_and_validate(base_url=service.url, checks=list(CHECKS))
