import type { Scope } from '@dcompute/shared-types';

/** A thing of an account that a path may name. */
export type Resource = 'apiKey' | 'sshKey' | 'hostKey' | 'node' | 'rental' | 'team';

/** Who may call a route. */
export interface RouteAccess {
  /**
   * `open`: nobody is asked who they are. `guard`: the credential of a proxy server's guard. Otherwise the scope that an
   * API key needs; a session has all but `operator`.
   */
  readonly needs: 'open' | 'guard' | Scope;
  /** Without this role the account is refused. */
  readonly role?: 'RENT' | 'LEASE';
  /** Whose `:id` the path has: somebody else's is as good as none. */
  readonly of?: Resource;
  /** A valid body, where a refused one would hide whether the thing exists. */
  readonly body?: unknown;
  /** Open to visitors where PUBLIC_MARKET=true. */
  readonly publicMarket?: true;
}

/**
 * Every route of the router, and who may call it. A new route without a row fails `http-access.spec.ts`; a new `open` row
 * is a decision about security: the design names the few that there may be.
 */
export const ROUTE_ACCESS: Readonly<Record<string, RouteAccess>> = {
  'GET /health/live': { needs: 'open' },
  'GET /health/ready': { needs: 'open' },
  'GET /.well-known/jwks.json': { needs: 'open' },
  'POST /api/v1/auth/sign-up': { needs: 'open' },
  'POST /api/v1/auth/sign-in': { needs: 'open' },
  'POST /api/v1/auth/refresh': { needs: 'open' },

  'GET /api/openapi.json': { needs: 'read' },
  'POST /api/v1/auth/sign-out': { needs: 'account:write' },
  'GET /api/v1/me': { needs: 'read' },
  'PATCH /api/v1/me': { needs: 'account:write' },

  'GET /api/v1/accounts': { needs: 'read' },
  'POST /api/v1/teams': { needs: 'account:write' },
  'GET /api/v1/teams/:id/members': { needs: 'read', of: 'team' },
  'PUT /api/v1/teams/:id/members': {
    needs: 'account:write',
    of: 'team',
    body: { email: 'a@example.com', role: 'owner' },
  },
  'DELETE /api/v1/teams/:id/members/:personId': { needs: 'account:write', of: 'team' },

  'POST /api/v1/api-keys': { needs: 'keys:write' },
  'GET /api/v1/api-keys': { needs: 'read' },
  'DELETE /api/v1/api-keys/:id': { needs: 'keys:write', of: 'apiKey' },
  'POST /api/v1/ssh-keys': { needs: 'keys:write' },
  'GET /api/v1/ssh-keys': { needs: 'read' },
  'DELETE /api/v1/ssh-keys/:id': { needs: 'keys:write', of: 'sshKey' },
  'POST /api/v1/host-keys': { needs: 'keys:write', role: 'LEASE' },
  'GET /api/v1/host-keys': { needs: 'read' },
  'DELETE /api/v1/host-keys/:id': { needs: 'keys:write', of: 'hostKey' },

  'GET /api/v1/nodes': { needs: 'read' },
  'GET /api/v1/nodes/:id': { needs: 'read', of: 'node' },
  'PATCH /api/v1/nodes/:id': { needs: 'nodes:write', role: 'LEASE', of: 'node' },
  'POST /api/v1/nodes/:id/drain': { needs: 'nodes:write', role: 'LEASE', of: 'node' },
  'POST /api/v1/nodes/:id/confirm': { needs: 'operator' },

  'GET /api/v1/offers': { needs: 'read', publicMarket: true },
  'GET /api/v1/offers/:id': { needs: 'read', publicMarket: true },

  'POST /api/v1/rentals': { needs: 'rentals:write', role: 'RENT' },
  'GET /api/v1/rentals': { needs: 'read' },
  'GET /api/v1/rentals/:id': { needs: 'read', of: 'rental' },
  'GET /api/v1/rentals/:id/events': { needs: 'read', of: 'rental' },
  'POST /api/v1/rentals/:id/stop': { needs: 'rentals:write', role: 'RENT', of: 'rental' },
  'POST /api/v1/rentals/:id/start': { needs: 'rentals:write', role: 'RENT', of: 'rental' },
  'DELETE /api/v1/rentals/:id': { needs: 'rentals:write', role: 'RENT', of: 'rental' },
  'PATCH /api/v1/rentals/:id': { needs: 'rentals:write', role: 'RENT', of: 'rental' },

  'GET /api/v1/balance': { needs: 'read' },
  'GET /api/v1/transactions': { needs: 'read' },
  'POST /api/v1/operator/credits': { needs: 'operator' },
  'GET /api/v1/operator/transactions': { needs: 'operator' },
  'GET /api/v1/operator/ledger/check': { needs: 'operator' },

  'GET /internal/guard/v1/leases': { needs: 'guard' },
  'POST /internal/guard/v1/probes': { needs: 'guard' },
  'POST /internal/guard/v1/closed': { needs: 'guard' },
};
