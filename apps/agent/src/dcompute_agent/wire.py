"""The envelope of the agent protocol and the canonical JSON that is signed. Mirrors shared-types' envelope.ts."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from .protocol import models as m

MAX_MESSAGE_BYTES = 256 * 1024
MAX_SAFE_INTEGER = 2**53 - 1

#: A NUL in JSON text. The backend's database takes none, so a message with one would be refused for ever.
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

CanonicalValue = str | int | bool | None | Sequence["CanonicalValue"] | Mapping[str, "CanonicalValue"]
BackendMessage = (
    m.Challenge
    | m.Welcome
    | m.Desired
    | m.HeartbeatAck
    | m.StartInstance
    | m.StopInstance
    | m.DrainNode
    | m.UpdateSshKeys
    | m.OpenStream
    | m.Spec
    | m.ProtocolError
)
AgentMessage = m.Hello | m.Heartbeat | m.InstanceReport | m.Ack | m.GetSpec | m.ProtocolError
T = TypeVar("T", bound=BaseModel)


class Frame(BaseModel, Generic[T]):
    """One message as it stands on the wire."""

    model_config = ConfigDict(strict=True)

    event: str
    data: T


class AgentEvents:
    """Names of the messages that an agent sends."""

    BY_MODEL: Mapping[type[BaseModel], str] = {
        m.Hello: "hello",
        m.Heartbeat: "heartbeat",
        m.InstanceReport: "instance_status",
        m.Ack: "ack",
        m.GetSpec: "get_spec",
        m.ProtocolError: "error",
    }


BACKEND_FRAMES: Mapping[str, type[Frame[BaseModel]]] = {
    "challenge": Frame[m.Challenge],
    "welcome": Frame[m.Welcome],
    "desired": Frame[m.Desired],
    "heartbeat_ack": Frame[m.HeartbeatAck],
    "start_instance": Frame[m.StartInstance],
    "stop_instance": Frame[m.StopInstance],
    "drain_node": Frame[m.DrainNode],
    "update_ssh_keys": Frame[m.UpdateSshKeys],
    "open_stream": Frame[m.OpenStream],
    "spec": Frame[m.Spec],
    "error": Frame[m.ProtocolError],
}  # pyright: ignore[reportAssignmentType] -- Frame is read only here, so it may be taken as covariant


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """A message of a later protocol: counted and ignored."""

    event: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that cannot be used, and why."""

    problem: str


def parse_backend_message(text: str | bytes) -> BaseModel | UnknownEvent | Malformed:
    """Parses one frame that the backend sent into its model. Never raises."""
    try:
        envelope = from_json(text)
    except ValueError:
        return Malformed("not JSON")
    event = envelope.get("event") if isinstance(envelope, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(event, str):
        return Malformed("event: must be a string")
    frame = BACKEND_FRAMES.get(event)
    if frame is None:
        return UnknownEvent(event)
    try:
        return frame.model_validate_json(text).data
    except ValidationError as error:
        return Malformed(f"{event}: {_describe(error)}")


def encode_agent_message(message: AgentMessage) -> str:
    """Writes one message as the agent sends it; members without a value are left out."""
    event = AgentEvents.BY_MODEL[type(message)]
    data = NUL.sub(r"\1\\ufffd", message.model_dump_json(exclude_none=True))
    return f'{{"event":"{event}","data":{data}}}'


def canonical_json(value: CanonicalValue) -> str:
    """Keys sorted by code point, no white space, integers only: the text that every language writes alike.

    Raises TypeError for a number that is no integer of at most 53 bits.
    """
    _check_canonical(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hello_signing_text(nonce: str, session_id: str) -> str:
    """The text that `Hello.signature` signs."""
    return f"dcompute-agent-hello:v1\n{nonce}\n{session_id}"


def _check_canonical(value: CanonicalValue) -> None:
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER):
        raise TypeError(f"canonical JSON has integers of at most 53 bits only, not {value}")
    if isinstance(value, Mapping):
        for member in value.values():
            _check_canonical(member)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _check_canonical(item)


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(str(part) for part in p['loc'][1:]) or 'message'}: {p['msg']}" for p in problems)
