"""Names of images, sums of progress and the meaning of a registry's words, without an engine."""

import pytest

from dcompute_agent.runtime.base import FaultKind, RuntimeFault
from dcompute_agent.runtime.docker.answers import ImageAnswer, PullMessage
from dcompute_agent.runtime.docker.images import PullTracker, Reference, image_of, pull_fault

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "reference", "version"),
    [
        ("debian", Reference("debian"), "latest"),
        ("debian:12", Reference("debian", "12"), "12"),
        ("localhost:5000/a/b", Reference("localhost:5000/a/b"), "latest"),
        ("localhost:5000/a/b:1", Reference("localhost:5000/a/b", "1"), "1"),
        (f"a/b:1@{DIGEST}", Reference("a/b", "1", DIGEST), DIGEST),
        (f"localhost:5000/b@{DIGEST}", Reference("localhost:5000/b", None, DIGEST), DIGEST),
    ],
)
def test_a_name_is_split_into_its_parts(text: str, reference: Reference, version: str) -> None:
    assert Reference.parse(text) == reference
    assert reference.version == version


def test_a_digest_takes_the_place_of_the_tag() -> None:
    assert str(Reference.parse("a/b:1").pinned(DIGEST)) == f"a/b@{DIGEST}"
    assert str(Reference.parse("a/b:1").pinned(None)) == "a/b:1"


def message(layer: str, status: str, current: int = 0, total: int = 0) -> PullMessage:
    return PullMessage.model_validate(
        {"id": layer, "status": status, "progressDetail": {"current": current, "total": total}}
    )


def test_progress_counts_layers_and_bytes_and_never_falls() -> None:
    tracker = PullTracker()
    for line in (
        message("latest", "Pulling from a/b"),
        message("one", "Already exists"),
        message("two", "Pulling fs layer"),
        message("two", "Downloading", 60, 100),
        message("two", "Retrying in 5 seconds"),
        message("two", "Downloading", 10, 100),
    ):
        tracker.feed(line)

    progress = tracker.progress
    assert (progress.layers_done, progress.layers_total) == (1, 2)
    assert (progress.bytes_done, progress.bytes_total) == (60, 100)

    tracker.feed(message("two", "Download complete"))
    tracker.feed(message("two", "Extracting", 5, 100))
    assert (tracker.progress.layers_done, tracker.progress.bytes_done) == (1, 100)
    tracker.feed(message("two", "Pull complete"))
    assert tracker.progress.layers_done == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("manifest for a/b:9 not found: manifest unknown: manifest unknown", FaultKind.IMAGE_NOT_FOUND),
        (
            "pull access denied for a/b, repository does not exist or may require 'docker login'",
            FaultKind.IMAGE_NOT_FOUND,
        ),
        ("no matching manifest for linux/amd64 in the manifest list entries", FaultKind.IMAGE_NOT_FOUND),
        ("unauthorized: incorrect username or password", FaultKind.REFUSED),
        ("toomanyrequests: You have reached your pull rate limit", FaultKind.PULL_FAILED),
        ("dial tcp: lookup registry.example on 10.0.0.1:53: no such host", FaultKind.PULL_FAILED),
        ("write /var/lib/docker/tmp/x: no space left on device", FaultKind.PULL_FAILED),
    ],
)
def test_the_words_of_a_registry_say_whether_another_try_is_worth_it(text: str, kind: FaultKind) -> None:
    fault = pull_fault(Reference.parse("a/b:9"), RuntimeFault(FaultKind.INTERNAL, text))

    assert fault.kind is kind
    assert text in str(fault)


def test_an_engine_that_is_away_says_nothing_about_the_image() -> None:
    away = RuntimeFault(FaultKind.UNAVAILABLE, "pull: Cannot connect")

    assert pull_fault(Reference.parse("a"), away) is away


def test_a_pull_without_a_word_for_too_long_has_failed() -> None:
    silent = RuntimeFault(FaultKind.UNAVAILABLE, "pull: no answer")
    silent.__cause__ = TimeoutError()

    assert pull_fault(Reference.parse("a"), silent).kind is FaultKind.PULL_FAILED


def test_the_digest_of_an_image_is_the_one_of_its_own_repository() -> None:
    other = f"sha256:{'b' * 64}"
    answer = ImageAnswer.model_validate({"Id": "sha256:1", "RepoDigests": [f"x/y@{other}", f"a/b@{DIGEST}"]})

    assert image_of(answer, Reference.parse("a/b:1")).digest == DIGEST
    assert image_of(answer, Reference.parse("c")).digest == other
    assert image_of(ImageAnswer.model_validate({"Id": "sha256:1"}), Reference.parse("c")).digest is None
