"""No message grows beyond its limit."""

from hypothesis import given
from hypothesis import strategies as st

from dcompute_agent.connection.beats import ACKS_BYTES, INSTANCES_BYTES, SEGMENTS_BYTES
from dcompute_agent.connection.fitting import split, take
from dcompute_agent.protocol import models as m
from dcompute_agent.wire import MAX_MESSAGE_BYTES, encode_agent_message

SIZES = st.lists(st.integers(1, 50), max_size=60)


@given(sizes=SIZES, max_count=st.integers(1, 10), max_bytes=st.integers(50, 200))
def test_groups_keep_order_and_limits_and_lose_nothing(sizes: list[int], max_count: int, max_bytes: int) -> None:
    groups = list(split(sizes, lambda size: size, max_count=max_count, max_bytes=max_bytes))

    assert [size for group in groups for size in group] == sizes
    assert all(0 < len(group) <= max_count and sum(group) <= max_bytes for group in groups)


@given(sizes=SIZES)
def test_taking_is_the_first_group(sizes: list[int]) -> None:
    groups = list(split(sizes, lambda size: size, max_count=5, max_bytes=100))

    assert take(sizes, lambda size: size, max_count=5, max_bytes=100) == (groups[0] if groups else [])


def test_an_item_that_is_too_big_goes_alone() -> None:
    assert list(split([1, 500, 1], lambda size: size, max_count=9, max_bytes=100)) == [[1], [500], [1]]


def test_a_heartbeat_with_the_longest_of_everything_fits() -> None:
    beat = m.Heartbeat(
        node_id="n" * 64,
        status=m.ReportedNodeStatus.BUSY,
        metrics=m.HeartbeatMetrics(
            cpu_temp=99.123456789,
            gpu_temp=[99.123456789] * 32,
            gpu_utilization=[99.123456789] * 32,
            ram_usage_mb=1e15 / 3,
            disk_usage_gb=1e15 / 3,
            cpu_utilization=99.123456789,
        ),
        session_id="s" * 64,
        seq=2**53 - 1,
        boot_id="b" * 64,
        boot_ms=2**53 - 1,
        rev_applied=2**53 - 1,
        gpus=[m.GpuState(uuid="\x01" * 80, memory_used_mib=2**53 - 1, processes=2**53 - 1, clean=False)] * 32,
        tunnel=[m.TunnelState(proxy_server_id="\x01" * 64, connected=False, error="\x01" * 400)] * 16,
    )

    rest = len(encode_agent_message(beat).encode())

    assert rest + INSTANCES_BYTES + SEGMENTS_BYTES + ACKS_BYTES <= MAX_MESSAGE_BYTES
