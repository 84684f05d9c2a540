import { createHash, createPublicKey, verify } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  type CanonicalValue,
  type InstanceSpec,
  type UsageSegment,
  canonicalJson,
  helloSigningText,
  instanceSpecText,
} from '../src/index.js';
import { fixtureText } from './fixtures.js';

/** DER prefix of a SubjectPublicKeyInfo that holds a raw Ed25519 key (RFC 8410). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

function verifyEd25519(publicKey: string, text: string, signature: string): boolean {
  const der = Buffer.concat([ED25519_SPKI_PREFIX, Buffer.from(publicKey, 'base64')]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'));
}

describe('canonicalJson', () => {
  const vectors = JSON.parse(fixtureText('canonical-json')) as { value: CanonicalValue; text: string }[];

  it.each(vectors)('writes $text', ({ value, text }) => {
    expect(canonicalJson(value)).toBe(text);
  });

  it('leaves undefined members out and refuses numbers that other languages write differently', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])
      expect(() => canonicalJson(value)).toThrow(TypeError);
  });
});

describe('signatures of the agent', () => {
  it('verify over the canonical JSON of a usage segment', () => {
    const vector = JSON.parse(fixtureText('usage-segment-signature')) as {
      public_key: string;
      text: string;
      segment: UsageSegment;
    };
    const { signature, ...signed } = vector.segment;
    expect(canonicalJson(signed)).toBe(vector.text);
    expect(verifyEd25519(vector.public_key, vector.text, signature)).toBe(true);
    expect(verifyEd25519(vector.public_key, canonicalJson({ ...signed, to_ms: signed.to_ms + 1 }), signature)).toBe(
      false,
    );
  });

  it('verify over the text of a hello', () => {
    const vector = JSON.parse(fixtureText('hello-signature')) as Record<
      'public_key' | 'nonce' | 'session_id' | 'text' | 'signature',
      string
    >;
    expect(helloSigningText(vector.nonce, vector.session_id)).toBe(vector.text);
    expect(verifyEd25519(vector.public_key, vector.text, vector.signature)).toBe(true);
  });
});

describe('instanceSpecText', () => {
  it('hashes what fixes a container and nothing else', () => {
    const vector = JSON.parse(fixtureText('instance-spec-text')) as {
      spec: InstanceSpec;
      text: string;
      sha256: string;
    };
    const text = instanceSpecText(vector.spec);
    expect(text).toBe(vector.text);
    expect(createHash('sha256').update(text).digest('hex')).toBe(vector.sha256);
    expect(vector.spec.spec_sha).toBe(vector.sha256);
  });
});
