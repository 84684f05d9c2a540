import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { IDENTITY_CONFIG, type IdentityConfig } from '../../config/index.js';
import { AppError, BootError, Database } from '../../infra/index.js';
import { AccountsService } from './accounts.service.js';
import { EmbeddedIdentity } from './embedded-identity.js';

/**
 * Makes sure that the operator named by OPERATOR_EMAIL exists. Idempotent; an operator's password is left alone. An account
 * that was there before becomes operator only where the password is its own: anybody may sign up with any address.
 */
@Injectable()
export class OperatorBootstrap implements OnApplicationBootstrap {
  constructor(
    private readonly db: Database,
    private readonly embedded: EmbeddedIdentity,
    private readonly accounts: AccountsService,
    @Inject(IDENTITY_CONFIG) private readonly config: IdentityConfig,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const { operator } = this.config;
    if (!operator) return;
    const existing = await this.accounts.findByEmail(this.db, operator.email);
    if (existing?.isOperator) return;
    if (existing) await this.#assertSamePerson(operator);
    const account = existing ?? (await this.#create(operator));
    await this.accounts.makeOperator(account.id);
  }

  /** Clerk has verified the address; the embedded identity has not. */
  async #assertSamePerson(operator: { email: string; password: string }): Promise<void> {
    if (!this.embedded.enabled) return;
    const session = await this.embedded.signIn(operator).catch((error: unknown) => {
      if (!(error instanceof AppError)) throw error;
      throw new BootError(
        `OPERATOR_EMAIL: an account with the address ${operator.email} exists and has another password than ` +
          'OPERATOR_PASSWORD, so it may be a stranger. Give its own password, or another address.',
        { cause: error },
      );
    });
    await this.embedded.signOut(session.sessionId);
  }

  async #create(operator: { email: string; password: string }) {
    if (!this.embedded.enabled) {
      throw new BootError(
        `OPERATOR_EMAIL: ${operator.email} has to sign in through Clerk once before it can be made operator.`,
      );
    }
    const session = await this.embedded
      .signUp({ ...operator, name: 'Operator' })
      .catch(() => this.embedded.signIn(operator));
    return await this.accounts.ensurePerson({
      clerkId: `local_${session.identityId}`,
      email: operator.email,
      displayName: 'Operator',
    });
  }
}
