"""Images: looked for on this machine first, then pulled, layer by layer."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ...protocol.models import InstanceSpec, PullProgress
from ..base import FaultKind, Image, ProgressSink, RuntimeFault
from .answers import ImageAnswer, ImageConfig, PullMessage
from .engine import Engine

#: Progress is said at most this often, seconds: each report goes to the journal and to the backend.
REPORT_INTERVAL_S = 0.5
#: What registries and engines say when there is no such image, and no later try will find one.
NOT_FOUND_PHRASES = (
    "not found",
    "manifest unknown",
    "name unknown",
    "repository name not known",
    "does not exist",
    "no matching manifest",
    "invalid reference format",
)
#: What they say when the image may be there, but not for this login.
FORBIDDEN_PHRASES = (
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "incorrect username or password",
    "denied",
)
DONE_STATUS = frozenset({"Pull complete", "Already exists"})
LAYER_STATUS = DONE_STATUS | {
    "Pulling fs layer",
    "Waiting",
    "Downloading",
    "Verifying Checksum",
    "Download complete",
    "Extracting",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in its parts."""

    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Splits `[host[:port]/]path[:tag][@digest]`."""
        name, _, digest = text.partition("@")
        folder, slash, last = name.rpartition("/")
        last, _, tag = last.partition(":")
        return cls(f"{folder}{slash}{last}", tag or None, digest or None)

    def pinned(self, digest: str | None) -> "Reference":
        """The same image by a digest: it decides, whatever the tag says."""
        return self if digest is None else Reference(self.repository, None, digest)

    @property
    def version(self) -> str:
        """What the engine is to pull; a name without a version means its latest."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        return f"{self.repository}{'@' if self.digest else ':'}{self.version}"


class PullTracker:
    """Adds up what the engine says of single layers; no figure ever falls."""

    def __init__(self) -> None:
        self._downloaded: dict[str, int] = {}
        self._size: dict[str, int] = {}
        self._done: set[str] = set()

    def feed(self, message: PullMessage) -> None:
        """Takes in one line of the stream. Raises RuntimeFault for the engine's word that the pull failed."""
        if message.error:
            raise RuntimeFault(FaultKind.INTERNAL, message.error)
        if message.status not in LAYER_STATUS:
            return
        layer = message.id
        self._downloaded.setdefault(layer, 0)
        size = self._size.setdefault(layer, 0)
        if message.status == "Downloading":
            self._size[layer] = max(size, message.progress.total)
            self._downloaded[layer] = max(self._downloaded[layer], message.progress.current)
        elif message.status in ("Download complete", "Pull complete"):
            self._downloaded[layer] = self._size[layer]
        if message.status in DONE_STATUS:
            self._done.add(layer)

    @property
    def progress(self) -> PullProgress:
        """The sums so far."""
        return PullProgress(
            layers_done=len(self._done),
            layers_total=len(self._size),
            bytes_done=sum(self._downloaded.values()),
            bytes_total=sum(self._size.values()),
        )


class Images:
    """The images of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ensure(self, spec: InstanceSpec, on_progress: ProgressSink) -> Image:
        """The image of a spec. Raises RuntimeFault(IMAGE_NOT_FOUND, PULL_FAILED, REFUSED).

        An image that is present is used as it is: only the digest, where there is one, can make it the wrong one.
        """
        reference = Reference.parse(spec.image).pinned(spec.image_digest)
        present = await self._find(spec, reference)
        if present is None:
            await self._pull(reference, spec, on_progress)
            present = await self._find(spec, reference)
        if present is None:
            raise RuntimeFault(FaultKind.PULL_FAILED, f"{reference} was pulled but is not there")
        return image_of(present, reference)

    async def _find(self, spec: InstanceSpec, reference: Reference) -> ImageAnswer | None:
        found = await self._engine.inspect_image(str(reference))
        if found is None and reference.digest is not None:
            # An image that never was in a registry has no digest but its own id.
            local = await self._engine.inspect_image(spec.image)
            found = local if local is not None and local.id == reference.digest else None
        return found

    async def _pull(self, reference: Reference, spec: InstanceSpec, on_progress: ProgressSink) -> None:
        tracker = PullTracker()
        loop = asyncio.get_running_loop()
        reported_at = -REPORT_INTERVAL_S
        stream = self._engine.pull(reference.repository, reference.version, spec.registry_auth)
        try:
            async with aclosing(stream):
                async for message in stream:
                    tracker.feed(message)
                    if loop.time() - reported_at >= REPORT_INTERVAL_S and tracker.progress.layers_total:
                        reported_at = loop.time()
                        on_progress(tracker.progress)
        except RuntimeFault as fault:
            raise pull_fault(reference, fault) from fault
        on_progress(tracker.progress)


def pull_fault(reference: Reference, fault: RuntimeFault) -> RuntimeFault:
    """What a pull's failure means: the engine hands on the registry's words, and only those tell."""
    text = str(fault).lower()
    stalled = isinstance(fault.__cause__, TimeoutError)
    if fault.kind is FaultKind.UNAVAILABLE and not stalled:
        return fault
    if _any_of(NOT_FOUND_PHRASES, text):
        kind = FaultKind.IMAGE_NOT_FOUND
    elif _any_of(FORBIDDEN_PHRASES, text):
        kind = FaultKind.REFUSED
    else:
        kind = FaultKind.PULL_FAILED
    return RuntimeFault(kind, f"{reference}: {fault}")


def image_of(answer: ImageAnswer, reference: Reference) -> Image:
    """The engine's description in our words."""
    config = answer.config or ImageConfig()
    return Image(
        image_id=answer.id,
        digest=reference.digest or _digest_of(answer.repo_digests, reference.repository),
        entrypoint=config.entrypoint,
        command=config.cmd,
        environment=config.env,
        workdir=config.working_dir,
        user=config.user,
    )


def _digest_of(repo_digests: Sequence[str], repository: str) -> str | None:
    """The digest under which the registry of this repository knows the image."""
    names = [Reference.parse(name) for name in repo_digests]
    for name in names:
        if name.repository == repository:
            return name.digest
    return names[0].digest if names else None


def _any_of(phrases: Sequence[str], text: str) -> bool:
    return any(phrase in text for phrase in phrases)
