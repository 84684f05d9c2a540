import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { IDENTITY_CONFIG, type IdentityConfig } from '../../config/index.js';
import { AppError, Database } from '../../infra/index.js';
import { AccountsService } from './accounts.service.js';
import { EmbeddedIdentity } from './embedded-identity.js';

/** Makes sure that the operator named by OPERATOR_EMAIL exists. Idempotent; an existing password is left alone. */
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
    const account = existing ?? (await this.#create(operator));
    await this.accounts.makeOperator(account.id);
  }

  async #create(operator: { email: string; password: string }) {
    if (!this.embedded.enabled) {
      throw new AppError('auth.required', {
        detail: `OPERATOR_EMAIL: ${operator.email} has to sign in through Clerk once before it can be made operator.`,
      });
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
