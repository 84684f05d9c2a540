import { type CanonicalValue, canonicalJson } from './canonical-json.js';
import type { InstanceSpec } from './instance.js';

/** What `spec_sha` is made of: a spec without its sha, its host key and its registry login. */
export type InstanceSpecContent = Omit<InstanceSpec, 'spec_sha' | 'ssh_host_key' | 'registry_auth'>;

/**
 * The text whose SHA-256 (hex) is `spec_sha`: canonical JSON of the spec's content. Since canonical JSON has integers
 * only, `resource_limits.cpu_cores` is left out and `resource_limits.cpu_millicores` (cores x 1000, rounded) stands for it.
 */
export function instanceSpecText(content: InstanceSpecContent): string {
  const { cpu_cores: cpuCores, ...limits } = content.resource_limits;
  const hashed: { [K in keyof InstanceSpecContent]: CanonicalValue | undefined } = {
    rental_id: content.rental_id,
    image: content.image,
    image_digest: content.image_digest,
    run_type: content.run_type,
    command: content.command,
    env_vars: content.env_vars,
    container_ports: content.container_ports,
    resource_limits: { ...limits, cpu_millicores: Math.round(cpuCores * 1000) },
  };
  return canonicalJson(hashed);
}
