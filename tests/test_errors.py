import pickle

import pytest

from bedeck import errors
from bedeck.errors import SchemaError, suggest, within

TREE = {
    "SchemaError": ValueError,
    "SelectionError": ValueError,
    "SourceError": ValueError,
    "DuplicateKeyError": errors.SourceError,
    "DanglingReferenceError": errors.SourceError,
    "RefusedError": ValueError,
    "MissingKeyError": KeyError,
    "DeadlineError": TimeoutError,
    "StoreError": OSError,
    "NotFoundError": FileNotFoundError,
    "BusyError": errors.StoreError,
    "DamagedError": errors.StoreError,
    "FormatError": errors.StoreError,
}


@pytest.mark.parametrize(("name", "base"), TREE.items())
def test_each_error_is_one_of_ours_and_the_built_in_one(name: str, base: type):
    cls = getattr(errors, name)
    assert issubclass(cls, errors.Error)
    assert issubclass(cls, base)
    assert name in errors.__doc__


@pytest.mark.parametrize("name", TREE)
def test_the_message_is_kept_also_by_pickle(name: str):
    error = getattr(errors, name)('track "x": not there')
    assert str(error) == 'track "x": not there'
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert (type(again), str(again)) == (type(error), str(error))


def test_suggest_names_the_nearest_or_else_what_is_known():
    assert suggest("titel", ["id", "title"]) == '; did you mean "title"?'
    assert suggest("x", ["id", "title"]) == "; known: id, title"
    assert suggest("x", []) == ""
    assert suggest("x", map(str, range(20))) == "; known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..."


def test_within_puts_the_place_in_front_and_keeps_the_cause():
    cause = OSError("gone")
    with pytest.raises(SchemaError, match=r"^a\.toml: wrong$") as raised, within("a.toml"):
        raise SchemaError("wrong") from cause
    assert raised.value.__cause__ is cause
    with pytest.raises(KeyError), within("a.toml"):
        raise KeyError
