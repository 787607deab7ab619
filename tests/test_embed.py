"""JSON documents that hold rendered JSON."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedeck.embed import MARK, Rendered, document

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def rendered(value: Any, depth: int = 0) -> Any:
    """The same value with every other level of it rendered."""
    if depth % 2:
        return Rendered(json.dumps(value).encode())
    if isinstance(value, dict):
        return {name: rendered(item, depth + 1) for name, item in value.items()}
    return [rendered(item, depth + 1) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_document_is_that_of_the_plain_value(value: Any):
    assert json.loads(document(value)) == value
    assert json.loads(document(rendered(value))) == value
    assert json.loads(document(rendered(value, 1))) == value


def test_what_is_rendered_is_put_in_byte_by_byte():
    body = Rendered(b'{ "a" :1.0e0,"\\u00e9":"\xc3\xa9"}')
    assert document(body) == body
    assert document({"x": [body, body], "é": "é"}) == b'{"x":[%b,%b],"\xc3\xa9":"\xc3\xa9"}' % (body, body)
    assert document([Rendered(b"")]) == b"[]"


def test_what_is_no_json_is_refused():
    for value in (b"bytes", {1, 2}, object()):
        with pytest.raises(TypeError, match=f"{type(value).__name__} is not JSON"):
            document({"x": value})
    with pytest.raises(ValueError, match="Out of range"):
        document(math.nan)
    with pytest.raises(TypeError):
        document({Rendered(b'"x"'): 1})


def test_text_that_has_the_mark_is_found_out():
    with pytest.raises(ValueError, match="zip"):
        document(MARK)
