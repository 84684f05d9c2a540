import { afterEach, describe, expect, it } from 'vitest';
import { type BackendApp, startBackend } from './backend-app.js';

let backend: BackendApp | undefined;
afterEach(async () => {
  await backend?.close();
  backend = undefined;
});

describe('the operator that the configuration names', () => {
  it('is made once, and stays operator with another password of their own', async () => {
    backend = await startBackend({ APP_ROLE: 'http' });
    await backend.restart({ OPERATOR_PASSWORD: 'a password that was changed later' });
    await backend.restart({ OPERATOR_PASSWORD: 'correct horse battery' });
    expect((await backend.operator()).user.isOperator).toBe(true);
  });

  it('is nobody who registered the address before and has another password', async () => {
    backend = await startBackend({ APP_ROLE: 'http' });
    const squatter = await backend.signUp();
    const restart = backend.restart({
      OPERATOR_EMAIL: squatter.user.email,
      OPERATOR_PASSWORD: 'not the squatter knows',
    });
    await expect(restart).rejects.toThrow(/OPERATOR_EMAIL/);
    const { rows } = await backend.db.query(`SELECT "isOperator" FROM "User" WHERE "id" = $1`, [squatter.user.id]);
    expect(rows).toEqual([{ isOperator: false }]);
    await backend.restart({ OPERATOR_EMAIL: 'operator@example.com', OPERATOR_PASSWORD: 'correct horse battery' });
  });

  it('may be an account that was there before, where the password shows that it is the same person', async () => {
    backend = await startBackend({ APP_ROLE: 'http' });
    const { user, password } = await backend.signUp();
    await backend.restart({ OPERATOR_EMAIL: user.email, OPERATOR_PASSWORD: password });
    expect((await backend.operator()).user).toMatchObject({ id: user.id, isOperator: true });
    const { rows } = await backend.db.query(
      `SELECT "subjectId" FROM "AuditRow" WHERE "action" = 'account.make_operator'`,
    );
    expect(rows).toContainEqual({ subjectId: user.id });
  });
});
