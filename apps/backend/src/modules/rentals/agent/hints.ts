import { randomUUID } from 'node:crypto';
import { type BackendMessage, type InstanceSpec, LIMITS, type Tunnel, jsonBytes } from '@dcompute/shared-types';
import type { DesiredPlacement } from './desired-list.js';

/** Messages that tell an agent at once what its next desired list will say. Losing all of them costs one heartbeat. */
export type Hint = Extract<BackendMessage, { event: 'start_instance' | 'stop_instance' | 'update_ssh_keys' }>;

/** What hints are made from, as of one revision of the node. */
export interface HintSource {
  readonly rev: number;
  /** While true nothing may be stopped or removed on the node (R6). */
  readonly frozen: boolean;
  readonly placements: readonly DesiredPlacement[];
}

/** Which placements will be told to start, and therefore need their specs. */
export function placementsToStart(placements: readonly DesiredPlacement[]): string[] {
  return placements.filter(isToStart).map(({ instance }) => instance.placement_id);
}

/**
 * A hint for each placement: start or stop while the agent has not taken note of the last change of what is wanted, and
 * else the keys, which are all that can have changed. A placement without a spec at hand gets none, and neither does one
 * whose environment, which a start names twice, is too large for one message: its agent asks for the spec.
 */
export function hintsOf(source: HintSource, specs: ReadonlyMap<string, InstanceSpec>): Hint[] {
  return source.placements.flatMap((placement) => {
    const { instance } = placement;
    if (instance.desired !== 'running') return source.frozen ? [] : [stopHint(placement, source.rev)];
    if (!isToStart(placement)) return [keysHint(placement)];
    const spec = specs.get(instance.placement_id);
    const start = spec && startHint(placement, source.rev, spec);
    return start && jsonBytes(start) <= LIMITS.agentMessageBytes ? [start] : [];
  });
}

function isToStart({ instance, desiredGen, observedGen }: DesiredPlacement): boolean {
  return instance.desired === 'running' && (observedGen === null || observedGen < desiredGen);
}

function startHint({ instance }: DesiredPlacement, rev: number, spec: InstanceSpec): Hint {
  return {
    event: 'start_instance',
    data: {
      rental_id: instance.rental_id,
      image: spec.image,
      resource_limits: spec.resource_limits,
      env_vars: spec.env_vars,
      proxy_port_mapping: portMapping(instance.tunnels),
      cmd_id: randomUUID(),
      rev,
      instance,
      spec,
    },
  };
}

function stopHint({ instance }: DesiredPlacement, rev: number): Hint {
  return {
    event: 'stop_instance',
    data: {
      rental_id: instance.rental_id,
      cmd_id: randomUUID(),
      placement_id: instance.placement_id,
      incarnation: instance.incarnation,
      gen: instance.gen,
      rev,
      desired: instance.desired === 'deleted' ? 'deleted' : 'stopped',
      ...(instance.reason && { reason: instance.reason }),
      grace_seconds: instance.stop_grace_seconds,
    },
  };
}

function keysHint({ instance }: DesiredPlacement): Hint {
  return {
    event: 'update_ssh_keys',
    data: {
      cmd_id: randomUUID(),
      rental_id: instance.rental_id,
      placement_id: instance.placement_id,
      gen: instance.gen,
      ssh_keys: instance.ssh_keys,
    },
  };
}

/** The specification's mapping: container port to public port. */
function portMapping(tunnels: readonly Tunnel[]): Record<string, number> {
  return Object.fromEntries(
    tunnels.flatMap(({ container_port, remote_port }) =>
      remote_port === undefined ? [] : [[String(container_port), remote_port]],
    ),
  );
}
