"""The golden messages of packages/shared-types, which both languages are tested with."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

from dcompute_agent.protocol import models as m
from dcompute_agent.spec_text import instance_spec_text

FOLDER = Path(__file__).parents[4] / "packages" / "shared-types" / "fixtures"


def fixture_names(prefix: str) -> list[str]:
    return sorted(path.stem for path in FOLDER.glob(f"{prefix}*.json"))


def read_fixture(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def fixture_data(name: str, **changes: Any) -> dict[str, Any]:
    """The payload of a golden message, with some members changed."""
    return copy.deepcopy(read_fixture(name)["data"]) | changes


def spec_for(rental_id: str, **changes: Any) -> m.InstanceSpec:
    """The golden spec for another rental, with the sha that belongs to it."""
    golden = fixture_data("backend.spec")["spec"] | {"rental_id": rental_id, "spec_sha": ""} | changes
    spec = m.InstanceSpec.model_validate(golden)
    sha = hashlib.sha256(instance_spec_text(spec).encode()).hexdigest()
    return spec.model_copy(update={"spec_sha": sha})


def wish(number: int = 1, gen: int = 1, desired: str = "running", **changes: Any) -> m.DesiredInstance:
    """What should be of placement `number`."""
    spec = spec_for(f"rental-{number}")
    return m.DesiredInstance.model_validate(
        {
            "rental_id": spec.rental_id,
            "placement_id": f"placement-{number}",
            "incarnation": 1,
            "gen": gen,
            "desired": desired,
            "spec_sha": spec.spec_sha,
            "ssh_keys": ["ssh-ed25519 AAAA renter"],
            "tunnels": [
                {
                    "proxy_server_id": "proxy-1",
                    "proxy_name": f"dc-rental-{number}-22",
                    "type": "tcp",
                    "container_port": 22,
                    "remote_port": 20_000 + number,
                }
            ],
            "stop_grace_seconds": 1,
        }
        | changes
    )
