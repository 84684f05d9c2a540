"""What a host may set."""

import argparse
from pathlib import Path

import pytest

from dcompute_agent.config import AgentConfig, ConfigError, add_config_flags, load_config

SIMULATED = {
    "DCOMPUTE_BACKEND_URL": "wss://market.example.com/agent/v1",
    "DCOMPUTE_HOST_KEY": "dch_secret",
    "DCOMPUTE_RUNTIME": "simulated",
}


def load(environment: dict[str, str], *arguments: str) -> AgentConfig:
    parser = argparse.ArgumentParser()
    add_config_flags(parser)
    return load_config(parser.parse_args(arguments), environment)


def test_a_flag_wins_over_its_variable() -> None:
    config = load(SIMULATED | {"DCOMPUTE_STATE_DIR": "/a"}, "--state-dir", "/b")

    assert config.state_dir == Path("/b")


@pytest.mark.parametrize("url", ["ws://127.0.0.1:3000/x", "ws://localhost/x", "ws://[::1]:1/x", "wss://10.0.0.1/x"])
def test_loopback_may_be_plain_and_all_else_is_encrypted(url: str) -> None:
    assert load(SIMULATED | {"DCOMPUTE_BACKEND_URL": url}).backend_url == url


@pytest.mark.parametrize(
    "url", ["ws://market.example.com/x", "ws://10.0.0.1/x", "http://127.0.0.1/x", "nonsense", "wss://"]
)
def test_any_other_address_is_refused_with_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match="DCOMPUTE_BACKEND_URL"):
        load(SIMULATED | {"DCOMPUTE_BACKEND_URL": url})


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        load({"DCOMPUTE_RUNTIME": "podman"})

    assert {line.split(":")[0] for line in str(error.value).splitlines()} == {
        "DCOMPUTE_BACKEND_URL",
        "DCOMPUTE_HOST_KEY",
        "DCOMPUTE_RUNTIME",
    }


def test_docker_needs_frpc_and_guest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="frpc must name an executable"):
        load(SIMULATED | {"DCOMPUTE_RUNTIME": "docker", "DCOMPUTE_FRPC": str(tmp_path / "absent")})


@pytest.mark.parametrize("network", ["8.8.8.0/24", "10.0.0.0/29", "10.0.0.1/16"])
def test_the_range_of_networks_is_private_and_has_room(network: str) -> None:
    with pytest.raises(ConfigError, match="DCOMPUTE_NETWORK_RANGE"):
        load(SIMULATED | {"DCOMPUTE_NETWORK_RANGE": network})


def test_the_host_key_is_not_shown() -> None:
    assert "dch_secret" not in repr(load(SIMULATED))
