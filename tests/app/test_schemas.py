"""Validation of requests: query strings, forms and JSON."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from app.parameters import body_parameters, query_parameters, validate
from app.schemas import ParameterError, StoryRequest, bounded_request
from app.settings import Settings

SCHEMA = bounded_request(Settings(max_prefix=20, max_length=50, max_samples=4))
FLASK = Flask(__name__)


def from_query(query: str | bytes) -> StoryRequest:
    raw = query.encode() if isinstance(query, str) else query
    environment = {"QUERY_STRING": raw.decode("latin-1")}  # as WSGI has it
    with FLASK.test_request_context("/", environ_overrides=environment):
        return validate(SCHEMA, query_parameters())


def from_body(body: bytes, mimetype: str = "application/json") -> StoryRequest:
    with FLASK.test_request_context("/", method="POST", data=body, content_type=mimetype):
        values, typed = body_parameters()
        return validate(SCHEMA, values, typed=typed)


def test_defaults_within_the_bounds() -> None:
    request = from_query("")
    assert request.model_dump() == {
        "prefix": "",
        "length": 50,
        "temperature": 0.7,
        "top_k": 40,
        "top_p": 0.0,
        "repetition_penalty": 1.0,
        "stop": [],
        "truncate": "",
        "include_prefix": True,
        "nsamples": 1,
        "seed": None,
        "end": "sentence",
        "stream": False,
        "resample": None,
        "parent": None,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", v) for v in ("1_0", " 1", "1 ", "٥", "1e", ".")),
        *(("temperature", v) for v in ("nan", "inf", "-inf", "-0.1", "1e9", "1e999", "warm", "")),
        *(("top_p", v) for v in ("nan", "1.01", "-1")),
        *(("top_k", v) for v in ("-1", "1e3", "99999999999999999999", "2.5")),
        *(
            ("length", v)
            for v in ("0", "-5", "51", "nan", "9" * 5000, " 5", "1_0", "5.0", "+5", "٥")
        ),
        *(("nsamples", v) for v in ("0", "5", "two")),
        *(("seed", v) for v in ("-1", "4294967296", "x", "1.5")),
        *(("include_prefix", v) for v in ("perhaps", "2", "", "1", "yes", "on", "t")),
        *(("stream", v) for v in ("maybe", "0", "no")),
        *(("end", v) for v in ("chapter", "Sentence", "")),
        *(("prefix", v) for v in ("a" * 21, "a\0b", "x<|endoftext|>")),
        *(("truncate", v) for v in ("a\0", "a" * 101)),
        *(("stop", v) for v in ("a\0", "a" * 101, "")),
        *(("repetition_penalty", v) for v in ("0", "nan", "11", "-1")),
        *(("resample", v) for v in ("-1", "6", "x")),
        *(("parent", v) for v in ("", "ABCDEFGHIJKL", "0123456789abc", "../../../etc/")),
        *(("lenght", v) for v in ("5",)),
    ],
)
def test_wrong_values_are_named_in_every_way_of_asking(name: str, value: str) -> None:
    encoded = urlencode({name: value})
    for ask in (
        lambda: from_query(encoded),
        lambda: from_body(encoded.encode(), "application/x-www-form-urlencoded"),
        lambda: from_body(json.dumps({name: value}).encode()),
    ):
        with pytest.raises(ParameterError) as error:
            ask()
        assert error.value.field == name
        assert error.value.message


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"length": "5"}', "length"),
        (b'{"length": true}', "length"),
        (b'{"length": 5.5}', "length"),
        (b'{"temperature": NaN}', "temperature"),
        (b'{"temperature": -Infinity}', "temperature"),
        (b'{"temperature": 1e999}', "temperature"),
        (b'{"temperature": 1' + b"0" * 400 + b"}", "temperature"),
        (b'{"prefix": 5}', "prefix"),
        (b'{"prefix": null}', "prefix"),
        (b'{"prefix": ["a"]}', "prefix"),
        (b'{"prefix": "\\ud800"}', "prefix"),
        (b'{"prefix": "a", "prefix": "b"}', "prefix"),
        (b'{"\\ud800": 1}', "?"),
        (b'{"stream": 1}', "stream"),
        (b'{"stop": "a"}', "stop"),
        (b'{"stop": ["\\ud800"]}', "stop"),
        (b'{"stop": ["a", "b", "c", "d", "e", "f", "g", "h", "i"]}', "stop"),
        (b"{", None),
        (b"", None),
        (b"[]", None),
        (b"null", None),
        (b'{"length": ' + b"9" * 5000 + b"}", None),
        (b"[" * 60000, None),
        (b'{"prefix": "\xff"}', None),
        (b'{"stop":' * 900 + b'"\\ud800"' + b"}" * 900, "stop"),
    ],
)
def test_wrong_json(body: bytes, field: str | None) -> None:
    with pytest.raises(ParameterError) as error:
        from_body(body)
    assert error.value.field == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (b"prefix=%ff", "prefix"),
        (b"prefix=caf\xe9", "prefix"),
        (b"prefix=%ed%a0%80", "prefix"),
        (b"stop=a&stop=%ff", "stop"),
        (b"%ff=1", "?"),
        (b"seed=1&seed=2", "seed"),
        (b"&".join(b"a%d=1" % i for i in range(60)), None),
    ],
)
def test_wrong_queries(query: bytes, field: str | None) -> None:
    with pytest.raises(ParameterError) as error:
        from_query(query)
    assert error.value.field == field


def test_right_values() -> None:
    for request in (
        from_query("prefix=caf%C3%A9+%F0%9F%A6%A6&length=5&temperature=1&stream=true&seed=0"),
        from_body(
            '{"prefix":"café 🦦","length":5,"temperature":1,"stream":true,"seed":0}'.encode()
        ),
    ):
        assert (request.prefix, request.length, request.temperature) == ("café 🦦", 5, 1.0)
        assert (request.stream, request.seed) == (True, 0)


def test_spellings() -> None:
    request = from_query("temperature=.5&top_p=1e-1&length=007&stream=True&include_prefix=false")
    assert (request.temperature, request.top_p, request.length) == (0.5, 0.1, 7)
    assert (request.stream, request.include_prefix) == (True, False)
    assert from_body(b'{"length": 5.0, "seed": 1e1}').model_dump(include={"length", "seed"}) == {
        "length": 5,
        "seed": 10,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("length", True), ("temperature", False), ("stream", 1), ("include_prefix", 0.0)],
)
def test_strings_for_numbers_make_nothing_else_a_number(name: str, value: object) -> None:
    """As gpt-2-cloud-run's page sends its JSON."""
    with pytest.raises(ParameterError) as error:
        validate(SCHEMA, {name: value})
    assert error.value.field == name


def test_stop_may_be_given_several_times() -> None:
    assert from_query("stop=a&stop=b&truncate=c").stops == ["a", "b", "c"]
    assert from_body(b'{"stop": ["a", "b"]}').stops == ["a", "b"]
    assert from_query("stop=a").stops == ["a"]


@pytest.mark.parametrize(
    ("query", "draws"),
    [("", 4), ("seed=1", 1), ("seed=1&resample=2", 3), ("resample=0", 1), ("temperature=0", 1)],
)
def test_a_seed_is_for_one_draw_unless_more_are_asked_for(query: str, draws: int) -> None:
    assert from_query(query).draws == draws


def test_line_ends_are_those_of_the_corpus() -> None:
    assert from_query("prefix=a%0D%0Ab&stop=%0D%0A").stops == ["\n"]
    assert from_query("prefix=a%0D%0Ab").prefix == "a\nb"


def test_a_post_with_a_query_is_refused() -> None:
    with (
        FLASK.test_request_context("/?seed=1", method="POST", json={}),
        pytest.raises(ParameterError),
    ):
        body_parameters()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
NAMES = st.sampled_from([*StoryRequest.model_fields]) | st.text()


@given(st.dictionaries(NAMES, JSON, max_size=4))
def test_any_json_is_valid_or_named(values: dict[str, Any]) -> None:
    try:
        request = from_body(json.dumps(values).encode())
    except ParameterError as error:
        assert error.message
        assert error.field is None or error.field.encode() is not None
    else:
        for name, value in values.items():
            plain = [v.replace("\r\n", "\n") if isinstance(v, str) else v for v in [value]]
            if name != "stop":
                assert [getattr(request, name)] == plain


@given(st.binary(max_size=60))
def test_any_query_is_valid_or_refused(query: bytes) -> None:
    try:
        from_query(query)
    except ParameterError as error:
        assert error.message


def test_line_ends_of_forms_count_once() -> None:
    text = "a\n" * (SCHEMA.model_fields["prefix"].metadata[-1].max_length // 2)
    assert from_query("prefix=" + text.replace("\n", "%0D%0A")).prefix == text
