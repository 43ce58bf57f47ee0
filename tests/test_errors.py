"""Messages say what was wrong, what was there and what to do; errors survive the way between processes."""

from __future__ import annotations

import copy
import pickle

import pytest

from interp import errors
from interp.errors import InterpError, MissingExtraError, UnknownNameError


def test_closest_names_are_listed_best_first() -> None:
    message = str(UnknownNameError("layer", "conv_haed", ["classifier", "conv_stem", "conv_head"]))
    assert message.startswith("There is no layer 'conv_haed'. Closest: conv_head")


def test_case_does_not_matter() -> None:
    assert "Closest: conv_head." in str(UnknownNameError("layer", "CONV_HEAD", ["conv_head", "x"]))
    assert "Closest: Cardigan" in str(UnknownNameError("class", "cardigan ", ["Cardigan", "tench"]))


def test_where_nothing_is_close_some_names_are_shown() -> None:
    assert str(UnknownNameError("class", "zzz", ["a", "b"])) == "There is no class 'zzz'. There are 2: a, b."
    many = [f"name{i}" for i in range(1000)]
    assert str(UnknownNameError("class", "zzz", many)).endswith(
        "There are 1000: " + ", ".join(many[:12]) + ", ...."
    )
    assert str(UnknownNameError("class", "zzz", [])) == "There is no class 'zzz'. There are none."


@pytest.mark.parametrize("name", [7, None, b"conv", ("a",), "x" * 1_000_000, "a\nb\x00"])
def test_whatever_was_given_as_a_name_the_message_is_short_and_on_one_line(name: object) -> None:
    message = str(UnknownNameError("layer", name, ["conv"]))
    assert len(message) < 300
    assert message.isprintable()


def test_names_may_come_from_an_iterator() -> None:
    error = UnknownNameError("layer", "c", iter(["a", "b"]))
    assert error.known == ["a", "b"]


def test_a_missing_extra_says_how_to_install_it() -> None:
    message = str(MissingExtraError("timm", "models", "The model timm:resnet50"))
    assert message.startswith("The model timm:resnet50 needs the package 'timm'")
    assert message.endswith("pip install 'interp[models]'")


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("layer", "a", ["b"]),
        MissingExtraError("p", "e", "X"),
        errors.BadInputError("m"),
        errors.MissingFileError("m"),
        errors.DamagedFileError("m"),
    ],
)
def test_errors_can_be_pickled_and_copied(error: InterpError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)


def test_errors_are_also_what_python_calls_them() -> None:
    assert issubclass(errors.BadInputError, ValueError)
    assert issubclass(errors.UnknownNameError, LookupError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert issubclass(errors.MissingFileError, FileNotFoundError)
    assert issubclass(errors.DamagedFileError, OSError)
    for error in vars(errors).values():
        ours = isinstance(error, type) and error.__module__ == errors.__name__
        assert not ours or issubclass(error, InterpError)
