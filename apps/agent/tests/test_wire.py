"""What comes over the wire is never trusted."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dcompute_agent.protocol import models as m
from dcompute_agent.wire import BACKEND_FRAMES, Malformed, UnknownEvent, encode_agent_message, parse_backend_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(text=st.text() | st.binary())
def test_any_text_is_parsed_without_an_exception(text: str | bytes) -> None:
    assert isinstance(parse_backend_message(text), BaseModel | UnknownEvent | Malformed)


@given(event=st.sampled_from(sorted(BACKEND_FRAMES)) | st.text(max_size=20), data=JSON)
def test_any_envelope_is_parsed_without_an_exception(event: str, data: object) -> None:
    text = json.dumps({"event": event, "data": data})

    assert isinstance(parse_backend_message(text), BaseModel | UnknownEvent | Malformed)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[]", "event"),
        ('{"data":{}}', "event"),
        ('{"event":1,"data":{}}', "event"),
        ('{"event":"challenge"}', "challenge"),
        ('{"event":"challenge","data":{"nonce":1,"protocol_version":1}}', "nonce"),
        ('{"event":"desired","data":{"rev":1,"part":0,"parts":1,"items":[]}}', "part"),
    ],
)
def test_a_defect_is_named(text: str, problem: str) -> None:
    message = parse_backend_message(text)

    assert isinstance(message, Malformed)
    assert problem in message.problem


def test_unknown_members_are_ignored() -> None:
    text = '{"event":"drain_node","data":{"mode":"undo","later":{"x":1}},"more":2}'

    assert isinstance(parse_backend_message(text), BaseModel)


@given(text=st.text(alphabet=["\0", "\\", "u", "0", "a"], max_size=12))
def test_no_nul_leaves_and_nothing_else_is_changed(text: str) -> None:
    report = m.ProtocolError(code=m.AgentErrorCode.AGENT_INTERNAL, message=text)

    sent = json.loads(encode_agent_message(report))["data"]["message"]

    assert sent == text.replace("\0", "\ufffd")
