"""What waits to be sent is bounded, in number and in rate."""

import asyncio

import pytest

from dcompute_agent.connection.outbox import MAX_WAITING, OFFERS_AT_ONCE, OFFERS_PER_SECOND, Outbox
from dcompute_agent.protocol.models import GetSpec


def message(number: int = 0) -> GetSpec:
    return GetSpec(placement_id=f"placement-{number}", spec_sha="sha")


async def test_messages_leave_in_the_order_in_which_they_came() -> None:
    outbox = Outbox()
    for number in range(5):
        assert outbox.offer(message(number))

    assert [(await outbox.next())[0] for _ in range(5)] == [message(number) for number in range(5)]


async def test_more_than_the_gateway_bears_is_not_taken() -> None:
    now_s = 0.0
    outbox = Outbox(lambda: now_s)

    taken = sum(outbox.offer(message()) for _ in range(2000))
    assert taken == OFFERS_AT_ONCE
    now_s = 1.0
    taken = sum(outbox.offer(message()) for _ in range(2000))
    assert taken == OFFERS_PER_SECOND


async def test_a_socket_that_takes_nothing_fills_no_memory() -> None:
    seconds = iter(range(10_000))
    outbox = Outbox(lambda: float(next(seconds)))

    assert all(outbox.offer(message()) for _ in range(MAX_WAITING))
    assert not outbox.offer(message())


async def test_a_sender_that_waits_is_held_until_its_message_left() -> None:
    outbox = Outbox()
    sending = asyncio.create_task(outbox.send(message()))
    _, written = await outbox.next()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.shield(sending)

    assert written is not None
    written.set_result(None)
    await sending
