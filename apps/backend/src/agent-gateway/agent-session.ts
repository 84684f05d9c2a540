import { type GpuState, type InstanceReport, LIMITS } from '@dcompute/shared-types';
import { isDatabaseUnavailable } from '../infra/index.js';
import type { LiveConnection } from './agent-connection.js';
import type { GatewayServices } from './gateway-services.js';
import type { LiveSession } from './live-session.js';
import type { NodeSync } from './node-sync.js';
import { retryWhileUnavailable } from './retry.js';

/** GPUs are looked at again after this time even when nothing says that one became free. */
const GPU_LOOK_MS = 60_000;

/** What an agent says of its instances and GPUs, in one message. */
export interface AgentNews {
  readonly instances: readonly InstanceReport[];
  readonly gpus: readonly GpuState[];
}

/** What the handlers of one live connection share. */
export class AgentSession implements LiveSession {
  /** Segments that are committed and that the agent has not been told of. */
  #settled: string[] = [];
  #gpuStates = '';
  #gpusDue = true;
  #gpusAtMs = 0;

  constructor(
    readonly services: GatewayServices,
    readonly connection: LiveConnection,
    readonly sync: NodeSync,
  ) {}

  settle(segmentIds: readonly string[]): void {
    this.#settled.push(...segmentIds);
  }

  /** As many settled segments as one answer may carry. */
  takeSettled(): string[] {
    return this.#settled.splice(0, LIMITS.usageSegmentsPerBeat * 4);
  }

  /**
   * Applies news in the order in which they came, then calls `then`: an acknowledged report never comes again. So an outage
   * of the database is waited out, and ends the session when it lasts; the next one begins with everything. What fails for
   * another reason is a defect of ours that sending again would not cure: logged and left.
   */
  apply({ instances, gpus: states }: AgentNews, then: () => void = () => {}): void {
    const { services, connection } = this;
    const gpus = this.#gpusToApply(instances.length > 0, states);
    connection.enqueue(async () => {
      try {
        const limitMs = services.config.heartbeatBridgeMs;
        await retryWhileUnavailable(
          limitMs,
          () => connection.isOpen,
          () => this.#hand({ instances, gpus }),
        );
      } catch (error) {
        services.logger.error('gateway.news_failed', error, { nodeId: connection.session.nodeId });
        if (isDatabaseUnavailable(error)) {
          return connection.end(
            'agent.internal',
            'Your reports could not be recorded. Connect again and send them anew.',
          );
        }
      }
      then();
    }, instances.length);
  }

  async #hand({ instances, gpus }: AgentNews): Promise<void> {
    const { nodeId, sessionEpoch } = this.connection.session;
    if (instances.length > 0 && !(await this.services.rentals.applyReports({ nodeId, sessionEpoch }, instances))) {
      this.connection.end('agent.fenced', 'A newer session of this node took over.');
    } else if (gpus.length > 0) {
      await this.services.rentals.applyGpuStates({ nodeId, sessionEpoch }, gpus);
    }
  }

  /** GPU states cost a read, so they are handed on only when they changed or when a report may have freed a GPU. */
  #gpusToApply(reported: boolean, gpus: readonly GpuState[]): readonly GpuState[] {
    if (reported) this.#gpusDue = true;
    if (gpus.length === 0) return [];
    const states = gpus.map((gpu) => `${gpu.uuid}:${gpu.clean && gpu.processes === 0}`).join();
    const nowMs = this.services.clock.nowMs();
    if (!this.#gpusDue && states === this.#gpuStates && nowMs - this.#gpusAtMs < GPU_LOOK_MS) return [];
    this.#gpuStates = states;
    this.#gpusDue = false;
    this.#gpusAtMs = nowMs;
    return gpus;
  }
}
