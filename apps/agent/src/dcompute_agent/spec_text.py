"""What `spec_sha` is made of. Mirrors shared-types' instance-spec-text.ts."""

import hashlib
import math

from .protocol.models import InstanceSpec
from .wire import canonical_json


def instance_spec_text(spec: InstanceSpec) -> str:
    """Canonical JSON of a spec's content: without its sha, host key and registry login, and with whole millicores.

    Canonical JSON has integers only, so `cpu_millicores` (cores x 1000, halves rounded up) stands for `cpu_cores`.
    """
    content = spec.model_dump(mode="json", exclude_none=True, exclude={"spec_sha", "ssh_host_key", "registry_auth"})
    limits = content["resource_limits"]
    limits["cpu_millicores"] = math.floor(limits.pop("cpu_cores") * 1000 + 0.5)
    return canonical_json(content)


def has_own_sha(spec: InstanceSpec) -> bool:
    """The spec is what its sha says: nothing was lost, and nothing is in it that this version does not know."""
    return hashlib.sha256(instance_spec_text(spec).encode()).hexdigest() == spec.spec_sha
