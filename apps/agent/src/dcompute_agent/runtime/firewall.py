"""The packet filter that keeps an instance from its host, the local network, metadata services and mail servers.

`DOCKER-USER` sees forwarded packets only; what goes to an address of the host itself passes `INPUT`. So a node has a
chain for each, reached by the common beginning of its bridges' names, and the two agents of one engine do not collide.
"""

import asyncio
import ipaddress
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .names import bridge_prefix, chain_name

log = logging.getLogger(__name__)

#: Private, shared, link-local (metadata), loopback, multicast and reserved addresses: none of them is the Internet.
BLOCKED_NETWORKS = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
#: Ports over which mail is sent: what an abused instance would be blocked for, with all its neighbours.
MAIL_PORTS = (25, 465, 587)
DNS_PORT = 53
DOCKER_HOOK = "DOCKER-USER"
#: Every agent's chains begin so: their jumps may stand in any order, since each is for other bridges.
CHAIN_PREFIX = "DC-"
DEFAULT_PROGRAM = "iptables"
NFT_PROGRAM = "iptables-nft"
LEGACY_PROGRAM = "iptables-legacy"
#: Names the legacy tables in use; to look into others with iptables would make them.
LEGACY_TABLES_FILE = Path("/proc/net/ip_tables_names")
COMMAND_S = 15.0
LOCK_WAIT_S = 5
RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
IPV6_FILE = Path("/proc/net/if_inet6")

Resolvers = Sequence[ipaddress.IPv4Address]


class FirewallError(Exception):
    """The packet filter could not be read or changed."""


@dataclass(frozen=True, slots=True)
class Jump:
    """One rule of a chain of others that leads to ours."""

    hook: str
    rule: str

    @property
    def line(self) -> str:
        """The rule as `iptables -S` prints it."""
        return f"-A {self.hook} {self.rule}"


@dataclass(frozen=True, slots=True)
class Policy:
    """All that should stand in one table, in the words of `iptables -S`. Pure."""

    chains: dict[str, tuple[str, ...]]
    jumps: tuple[Jump, ...]

    def missing(self, listing: Sequence[str]) -> list[str]:
        """The input of `iptables-restore --noflush` that makes the listing right; empty when it is."""
        batch: list[str] = []
        for chain, rules in self.chains.items():
            if [line for line in listing if line.startswith(f"-A {chain} ")] != list(rules):
                # Naming a chain empties it in the same transaction that fills it: there is no moment without rules.
                batch += [f":{chain} - [0:0]", *rules]
        for jump in self.jumps:
            batch += _jump_fixes(jump, listing)
        return batch

    def removal(self, listing: Sequence[str]) -> list[str]:
        """The input of `iptables-restore --noflush` that takes all of it away."""
        lines = {jump.line for jump in self.jumps}
        targets = tuple(f" -j {chain}" for chain in self.chains)
        jumps = [line for line in listing if line in lines or (targets and line.endswith(targets))]
        present = [chain for chain in self.chains if f"-N {chain}" in listing]
        return [
            *(f"-D{line.removeprefix('-A')}" for line in jumps),
            *(f"-F {chain}" for chain in present),
            *(f"-X {chain}" for chain in present),
        ]


def ipv4_policy(node_id: str, resolvers: Resolvers, *, forward_hook: str) -> Policy:
    """What IPv4 packets of a node's instances may do."""
    forward, host, bridges = chain_name(node_id), host_chain_name(node_id), f"-i {bridge_prefix(node_id)}+"
    answers = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
    dns = [
        f"-d {resolver}/32 -p {protocol} -m {protocol} --dport {DNS_PORT} -j RETURN"
        for resolver in resolvers
        for protocol in ("udp", "tcp")
    ]
    blocked = [f"-d {network} -j DROP" for network in BLOCKED_NETWORKS]
    mail = [f"-p tcp -m tcp --dport {port} -j REJECT --reject-with tcp-reset" for port in MAIL_PORTS]
    return Policy(
        chains={
            forward: tuple(f"-A {forward} {rule}" for rule in (answers, *dns, *blocked, *mail)),
            host: tuple(f"-A {host} {rule}" for rule in (answers, *dns, "-j DROP")),
        },
        jumps=(Jump(forward_hook, f"{bridges} -j {forward}"), Jump("INPUT", f"{bridges} -j {host}")),
    )


def ipv6_policy(node_id: str) -> Policy:
    """Instances have no IPv6; should one make itself an address, it reaches nothing with it."""
    rule = f"-i {bridge_prefix(node_id)}+ -j DROP"
    return Policy(chains={}, jumps=(Jump("FORWARD", rule), Jump("INPUT", rule)))


def host_chain_name(node_id: str) -> str:
    """The chain for packets to the host itself."""
    return f"{chain_name(node_id)}-IN"


class Firewall:
    """The rules of one node on this machine."""

    def __init__(self, resolvers: Callable[[], Resolvers]) -> None:
        self._resolvers = resolvers
        self._changing = asyncio.Lock()
        self._problem: str | None = None

    async def is_settable(self) -> bool:
        """Whether rules could be set here."""
        try:
            await _list_rules(DEFAULT_PROGRAM)
        except FirewallError as error:
            self._note(str(error))
            return False
        return True

    async def assert_rules(self, node_id: str) -> bool:
        """Sets what is missing (other programs rewrite the tables); says whether all of it stands."""
        async with self._changing, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._assert_ipv6(node_id))
            try:
                await self._assert_ipv4(node_id)
            except FirewallError as error:
                self._note(str(error))
                return False
            self._note(None)
            return True

    async def remove_rules(self, node_id: str) -> None:
        """Removes the node's rules from every variant of the tables. Raises FirewallError."""
        async with self._changing:
            ipv4 = ipv4_policy(node_id, (), forward_hook=DOCKER_HOOK)
            for program in _programs():
                await _take_away(program, ipv4)
            await _take_away("ip6tables", ipv6_policy(node_id))

    async def _assert_ipv4(self, node_id: str) -> None:
        program, listing = await _docker_table()
        hook = DOCKER_HOOK if f"-N {DOCKER_HOOK}" in listing else "FORWARD"
        policy = ipv4_policy(node_id, self._resolvers(), forward_hook=hook)
        if batch := policy.missing(listing):
            log.info("firewall_rules_set", extra={"program": program, "rules": len(batch)})
            await _apply(program, batch)
            if policy.missing(await _list_rules(program)):
                raise FirewallError(f"{program} does not show the rules that it was given")

    async def _assert_ipv6(self, node_id: str) -> None:
        """As far as it can be: the instances' networks have no IPv6, this only adds to it."""
        if _has_ipv6():
            with suppress(FirewallError):
                await _apply("ip6tables", ipv6_policy(node_id).missing(await _list_rules("ip6tables")))

    def _note(self, problem: str | None) -> None:
        if problem != self._problem:
            self._problem = problem
            log.log(logging.WARNING if problem else logging.INFO, "firewall_changed", extra={"problem": problem})


def _programs() -> list[str]:
    """The variants of iptables whose tables are in use here, the default one first."""
    try:
        legacy = [LEGACY_PROGRAM] if "filter" in LEGACY_TABLES_FILE.read_text(encoding="ascii").split() else []
    except OSError:
        legacy = []
    return [program for program in (DEFAULT_PROGRAM, NFT_PROGRAM, *legacy) if shutil.which(program)]


def _has_ipv6() -> bool:
    return IPV6_FILE.exists()


def configured_resolvers(files: Iterable[Path] = RESOLVER_FILES) -> Resolvers:
    """The name servers that instances use: the engine takes the host's, or what systemd-resolved stands in for."""
    for file in files:
        servers = _resolvers_in(file)
        if servers:
            return servers
    return ()


def _resolvers_in(file: Path) -> Resolvers:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    servers: list[ipaddress.IPv4Address] = []
    for fields in (line.split() for line in lines):
        if len(fields) >= 2 and fields[0] == "nameserver":
            with suppress(ValueError):
                servers.append(ipaddress.IPv4Address(fields[1]))
    return tuple(server for server in servers if not server.is_loopback)


def _jump_fixes(jump: Jump, listing: Sequence[str]) -> list[str]:
    """Ours must stand before every rule of others, exactly once."""
    rules = [line for line in listing if line.startswith(f"-A {jump.hook} ")]
    count = rules.count(jump.line)
    before = rules[: rules.index(jump.line)] if count else []
    if count == 1 and all(f" -j {CHAIN_PREFIX}" in line or line.endswith(" -j DROP") for line in before):
        return []
    return [f"-D {jump.hook} {jump.rule}"] * count + [f"-I {jump.hook} 1 {jump.rule}"]


async def _take_away(program: str, policy: Policy) -> None:
    try:
        listing = await _list_rules(program)
    except FirewallError:
        # What cannot be read here was never written here.
        return
    await _apply(program, policy.removal(listing))


async def _docker_table() -> tuple[str, list[str]]:
    """The variant of iptables that the engine uses, and its rules; the default one where the engine uses none."""
    first: tuple[str, list[str]] | None = None
    for program in _programs():
        listing = await _list_rules(program)
        if f"-N {DOCKER_HOOK}" in listing:
            return program, listing
        first = first or (program, listing)
    if first is None:
        raise FirewallError("iptables is not installed")
    return first


async def _list_rules(program: str) -> list[str]:
    output = await _run([program, "-w", str(LOCK_WAIT_S), "-S"], b"")
    return output.decode(errors="replace").splitlines()


async def _apply(program: str, batch: Sequence[str]) -> None:
    if batch:
        text = "\n".join(["*filter", *batch, "COMMIT", ""])
        await _run([f"{program}-restore", "-w", str(LOCK_WAIT_S), "--noflush"], text.encode())


async def _run(command: Sequence[str], data: bytes) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise FirewallError(f"{command[0]}: {error}") from error
    try:
        async with asyncio.timeout(COMMAND_S):
            output, errors = await process.communicate(data)
    except TimeoutError as error:
        raise FirewallError(f"{command[0]} did not end in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise FirewallError(f"{command[0]}: {errors.decode(errors='replace').strip()[:300]}")
    return output
