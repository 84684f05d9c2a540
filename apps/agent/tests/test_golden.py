"""Both languages read and write the same messages: the golden fixtures of packages/shared-types."""

import base64
import hashlib
import json
from typing import Any

import pytest
from pydantic import BaseModel

from dcompute_agent.identity import Identity
from dcompute_agent.metering.meter import sign_segment
from dcompute_agent.protocol import models as m
from dcompute_agent.spec_text import has_own_sha, instance_spec_text
from dcompute_agent.wire import (
    AgentEvents,
    canonical_json,
    encode_agent_message,
    hello_signing_text,
    parse_backend_message,
)

from .support.fixtures import FOLDER, fixture_names, read_fixture

AGENT_MODELS = {event: model for model, event in AgentEvents.BY_MODEL.items()}


def without_times(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "server_time"}


@pytest.mark.parametrize("name", fixture_names("backend."))
def test_every_message_of_the_backend_is_read_completely(name: str) -> None:
    golden = read_fixture(name)

    message = parse_backend_message(json.dumps(golden))

    assert isinstance(message, BaseModel), message
    dumped = message.model_dump(mode="json", exclude_unset=True)
    assert without_times(dumped) == without_times(golden["data"])


@pytest.mark.parametrize("name", fixture_names("agent."))
def test_every_message_of_the_agent_is_written_as_the_backend_reads_it(name: str) -> None:
    golden = read_fixture(name)

    message = AGENT_MODELS[golden["event"]].model_validate(golden["data"])
    written = json.loads(encode_agent_message(message))  # type: ignore[arg-type] -- one of them

    assert written["event"] == golden["event"]
    assert golden["data"].items() <= written["data"].items()


def test_the_bare_start_of_the_specification_is_understood() -> None:
    message = parse_backend_message((FOLDER / "spec-start-instance.json").read_text(encoding="utf-8"))

    assert isinstance(message, m.StartInstance)
    assert message.instance is None


def test_a_heartbeat_has_every_member_of_the_specification() -> None:
    golden = read_fixture("spec-heartbeat")["data"]

    assert golden.keys() <= m.Heartbeat.model_fields.keys()
    assert golden["metrics"].keys() <= m.HeartbeatMetrics.model_fields.keys()


@pytest.mark.parametrize("case", read_fixture("canonical-json"), ids=lambda case: case["text"][:30])
def test_canonical_json_is_the_same_text_in_every_language(case: dict[str, Any]) -> None:
    assert canonical_json(case["value"]) == case["text"]


@pytest.mark.parametrize("value", [1.5, 2**53, {"a": [0.1]}, -(2**53)])
def test_canonical_json_refuses_what_languages_write_differently(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


def test_the_hello_is_signed_as_the_backend_verifies_it() -> None:
    golden = read_fixture("hello-signature")
    identity = Identity.from_seed(base64.b64decode(golden["seed"]))
    text = hello_signing_text(golden["nonce"], golden["session_id"])

    assert text == golden["text"]
    assert identity.public_key == golden["public_key"]
    assert identity.sign(text) == golden["signature"]


def test_a_usage_segment_is_signed_as_the_backend_verifies_it() -> None:
    golden = read_fixture("usage-segment-signature")
    identity = Identity.from_seed(base64.b64decode(golden["seed"]))
    unsigned = {name: value for name, value in golden["segment"].items() if name != "signature"}

    assert canonical_json(unsigned) == golden["text"]
    assert sign_segment(unsigned, identity).model_dump(mode="json") == golden["segment"]


def test_a_spec_has_the_sha_that_the_backend_gave_it() -> None:
    golden = read_fixture("instance-spec-text")
    spec = m.InstanceSpec.model_validate(golden["spec"])

    text = instance_spec_text(spec)

    assert text == golden["text"]
    assert hashlib.sha256(text.encode()).hexdigest() == golden["sha256"]
    assert has_own_sha(spec)


def test_a_spec_that_was_changed_on_its_way_is_noticed() -> None:
    golden = read_fixture("instance-spec-text")["spec"]

    assert not has_own_sha(m.InstanceSpec.model_validate(golden | {"image": "registry.example.com/other"}))
