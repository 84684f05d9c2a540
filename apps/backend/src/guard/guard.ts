import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuardLease } from '@dcompute/shared-types';
import type { GuardConfig } from '../config/guard.config.js';
import type { Logger } from '../infra/logger.js';
import { BackendClient } from './backend-client.js';
import { BookFile } from './leases/book-file.js';
import { BookSync } from './leases/book-sync.js';
import { ClosedPorts } from './leases/closed-ports.js';
import { FrpsAdmin } from './leases/frps-admin.js';
import { type BookChanges, LeaseBook } from './leases/lease-book.js';
import { PluginDecider } from './plugin/plugin-decider.js';
import { PluginServer } from './plugin/plugin-server.js';
import { ProbeReporter } from './probes/probe-reporter.js';
import { ProbeSpool } from './probes/probe-spool.js';
import { Prober, isSshLease } from './probes/prober.js';

/** A guard that listens. */
export interface Guard {
  /** Ends its work: probes first, calls under way are answered, everything learnt is on disk. */
  stop(): Promise<void>;
}

/** Starts the guard of one proxy server. What it knew before is loaded before it listens. */
export async function startGuard(config: GuardConfig, logger: Logger): Promise<Guard> {
  await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
  const parts = assemble(config, logger);
  const snapshot = await parts.file.load();
  if (snapshot) parts.book.restore(snapshot);
  await parts.spool.load();
  parts.follow({ live: parts.book.live(), revoked: parts.book.revoked(), ended: [], anything: true }, true);
  await parts.server.listen(config.listen);
  for (const part of [parts.sync, parts.closedPorts, parts.reporter]) part.start();
  logger.info('guard.listening', { ...config.listen, leases: parts.book.size, rev: parts.book.rev });
  return {
    stop: async () => {
      parts.prober.stop();
      await parts.server.close();
      await Promise.all([parts.sync.stop(), parts.closedPorts.stop(), parts.reporter.stop()]);
    },
  };
}

function assemble(config: GuardConfig, logger: Logger) {
  const book = new LeaseBook();
  const backend = new BackendClient(config);
  const frps = new FrpsAdmin(config.frpsAdmin);
  const file = new BookFile(join(config.stateDir, 'leases.json'), config.proxyServerId, logger);
  const spool = new ProbeSpool(join(config.stateDir, 'probes.json'), logger);
  const reporter = new ProbeReporter({ spool, logger, send: (probes) => backend.reportProbes(probes) });
  const prober = new Prober({
    host: config.probeHost,
    intervalMs: config.probeIntervalMs,
    isServerUp: () => frps.isUp(),
    report: (probe, urgent) => reporter.add(probe, urgent),
  });
  const closedPorts = new ClosedPorts({
    isOpen: (wireName) => frps.isOpen(wireName),
    report: (leaseIds) => backend.reportClosed(leaseIds),
    onReported: (leaseIds) => {
      book.forget(leaseIds);
      file.save(() => book.snapshot());
    },
    logger,
  });
  const follow = (changes: BookChanges, openAlready: boolean): void => {
    for (const leaseId of changes.ended) prober.unwatch(leaseId);
    for (const lease of changes.live.filter(isSshLease)) prober.watch(lease, openAlready);
    for (const lease of changes.revoked) closedPorts.watch(lease);
  };
  const sync = new BookSync({ book, file, backend, logger, onChanges: follow });
  const decider = new PluginDecider({
    known: book,
    catchUp: () => sync.catchUp(),
    bandwidthLimit: config.bandwidthLimit,
    onProxyAllowed: (lease: GuardLease) => prober.hurry(lease.leaseId),
    logger,
  });
  const server = new PluginServer({
    answer: (request) => decider.answer(request),
    health: () => ({
      status: 'ok',
      rev: book.rev,
      leases: book.size,
      syncedAt: sync.syncedAt,
      waitingProbes: spool.size,
    }),
    logger,
  });
  return { book, file, spool, reporter, prober, closedPorts, follow, sync, server };
}
