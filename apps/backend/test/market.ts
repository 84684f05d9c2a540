import { randomUUID } from 'node:crypto';
import {
  type Role,
  Scope,
  type Balance,
  type CreateRentalRequest,
  type LedgerCheck,
  type NodeSpecs,
  type OfferPage,
  type PricingConfig,
  type Rental,
} from '@dcompute/shared-types';
import { Clock, newBearerSecret } from '../src/infra/index.js';
import { MeteringService } from '../src/modules/metering/index.js';
import { NodesService } from '../src/modules/nodes/index.js';
import { AgentRentals, RentalLife, RentalSweeper } from '../src/modules/rentals/index.js';
import { BillingService } from '../src/modules/billing/index.js';
import { ApiClient, type BackendApp, type SignedIn, startBackend } from './backend-app.js';
import { TestNode, enrolNode } from './test-node.js';

export { TestNode } from './test-node.js';

const PROXY_SERVER = {
  id: '7a1f2c3d-0000-4000-8000-000000000001',
  name: 'test',
  host: 'proxy.example.com',
  bindPort: 7000,
  serverName: 'proxy.example.com',
  caPem: '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----',
  authToken: 'sixteen-characters-at-least',
  portStart: 20_000,
  portEnd: 20_999,
};

/** A key in the form that `authorized_keys` has; nobody logs in with it. */
export const SSH_KEY = `ssh-ed25519 ${Buffer.from('\0\0\0\x0bssh-ed25519\0\0\0\x20' + 'k'.repeat(32), 'latin1').toString('base64')} me`;

export const GPU = 'Test GPU';

/** A node without GPUs of 4 threads, or with GPUs. */
export function specsOf(gpus = 0, threads = 4): NodeSpecs {
  const uuid = randomUUID();
  return {
    os: 'Debian 12',
    kernel: '6.1',
    arch: 'amd64',
    cpu: { model: 'Test CPU', cores: threads, threads },
    ram_mib: 16_384,
    disk_gib: 2000,
    gpus: Array.from({ length: gpus }, (_, index) => ({
      uuid: `GPU-${uuid}-${index}`,
      index,
      model: GPU,
      vram_mib: 8192,
    })),
    container_engine: { name: 'docker', version: '28' },
    firewall: true,
    warnings: [],
  };
}

/** One dollar an hour for each core, and nothing for all else: easy to reckon with. */
const PRICING: PricingConfig = {
  gpuPerHour: '0',
  cpuCorePerHour: '1',
  ramGibPerHour: '0',
  diskGibPerMonth: '0',
  trafficPerGib: '0',
};

/** Somebody who acts by an API key: unlike a session it does not end when a test moves the clock. */
export type Person = Pick<SignedIn, 'client' | 'user'>;

/** A renter with money and an SSH key. */
export interface Renter extends Person {
  /** Rents, and throws an ApiProblem when refused. */
  rent(offerId: string, more?: Partial<CreateRentalRequest>, key?: string): Promise<Rental>;
}

/** A real backend whose clock stands still and whose timers do not run: a test moves both. */
export interface Market {
  readonly backend: BackendApp;
  readonly agents: AgentRentals;
  readonly metering: MeteringService;
  readonly sweeper: RentalSweeper;
  readonly billing: BillingService;
  readonly nodes: NodesService;
  readonly life: RentalLife;
  readonly proxyServerId: string;
  nowMs(): number;
  /** Moves the clock on. */
  advance(ms: number): void;
  readonly operator: Person;
  person(role: Role): Promise<Person>;
  renter(money?: string): Promise<Renter>;
  /** Gives an account money, in dollars. */
  grant(person: Person, amount: string): Promise<void>;
  node(specs?: NodeSpecs, pricing?: Partial<PricingConfig>): Promise<TestNode>;
  /** The offers of a node, cheapest first. */
  offersOf(node: TestNode): Promise<OfferPage['items']>;
  /** One value of one row, as text. */
  value(sql: string, params?: readonly unknown[]): Promise<string | null>;
  /** What an account has, as `GET /balance` shows it. */
  balanceOf(who: Person): Promise<Balance>;
  /** Ids of the ledger's invariants that are broken now. */
  brokenInvariants(): Promise<string[]>;
  close(): Promise<void>;
}

export async function openMarket(overrides: Record<string, string> = {}): Promise<Market> {
  const backend = await startBackend({
    APP_ROLE: 'http',
    PROXY_SERVERS: JSON.stringify([PROXY_SERVER]),
    BILLING_TICK_MS: '60000',
    SETTLE_GRACE_MS: '120000',
    NODE_SUSPECT_MS: '30000',
    NODE_UNREACHABLE_MS: '60000',
    STOPPING_MS: '120000',
    ...overrides,
  });
  const clock = backend.app.get(Clock);
  let nowMs = Date.now();
  clock.nowMs = () => nowMs;
  const operator = await withApiKey(backend, await backend.operator());
  const market: Market = {
    backend,
    agents: backend.app.get(AgentRentals),
    metering: backend.app.get(MeteringService),
    sweeper: backend.app.get(RentalSweeper),
    billing: backend.app.get(BillingService),
    nodes: backend.app.get(NodesService),
    life: backend.app.get(RentalLife),
    proxyServerId: PROXY_SERVER.id,
    nowMs: () => nowMs,
    advance: (ms) => void (nowMs += ms),
    operator,
    person: async (role) => await withApiKey(backend, await backend.signUp(role)),
    async grant({ user }, amount) {
      await operator.client.post('/api/v1/operator/credits', { userId: user.id, amount, reason: 'for a test' });
    },
    async renter(money = '100') {
      const person = await market.person('BOTH');
      if (Number(money) > 0) await market.grant(person, money);
      const rent: Renter['rent'] = (offerId, more = {}, key) =>
        person.client.post<Rental>('/api/v1/rentals', { offerId, sshPublicKeys: [SSH_KEY], ...more }, key);
      return { ...person, rent };
    },
    async node(specs = specsOf(), pricing = {}) {
      const host = await market.person('LEASE');
      const node = await enrolNode(market, host, specs);
      await host.client.patch(`/api/v1/nodes/${node.nodeId}`, { pricingConfig: { ...PRICING, ...pricing } });
      return node;
    },
    async offersOf(node) {
      return (await operator.client.get<OfferPage>(`/api/v1/offers?nodeId=${node.nodeId}`)).items;
    },
    async value(sql, params = []) {
      const { rows } = await backend.db.query<[value: string | number | bigint | null]>({
        text: sql,
        values: [...params],
        rowMode: 'array',
      });
      const value = rows[0]?.[0] ?? null;
      return value === null ? null : String(value);
    },
    balanceOf: ({ client }) => client.get<Balance>('/api/v1/balance'),
    async brokenInvariants() {
      const { invariants } = await operator.client.get<LedgerCheck>('/api/v1/operator/ledger/check');
      return invariants.filter((invariant) => !invariant.ok).map(({ id, detail }) => `${id}: ${detail}`);
    },
    close: () => backend.close(),
  };
  return market;
}

/** Keys that a person made would look the same; made here, since a session's token may be over by the clock of the test. */
async function withApiKey(backend: BackendApp, { user }: SignedIn): Promise<Person> {
  const { secret, prefix, hash } = newBearerSecret('dck_');
  await backend.db.query(
    `INSERT INTO "ApiKey" ("userId", "createdById", "name", "prefix", "secretHash", "scopes") VALUES ($1, $1, 'test', $2, $3, $4)`,
    [user.id, prefix, hash, Scope.options],
  );
  return { user, client: new ApiClient(backend.url, secret) };
}
