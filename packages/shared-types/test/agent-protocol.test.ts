import { describe, expect, it } from 'vitest';
import { agentToBackend, backendToAgent, parseAgentMessage, parseBackendMessage } from '../src/index.js';
import { fixtureText, messageFixtures } from './fixtures.js';

const eventOf = (fixture: string): string => fixture.replace(/^(agent|backend)\./, '').replace(/-.*$/, '');

describe('golden fixtures', () => {
  it('cover every message of both directions', () => {
    expect(new Set(messageFixtures('agent').map(eventOf))).toEqual(new Set(Object.keys(agentToBackend)));
    expect(new Set(messageFixtures('backend').map(eventOf))).toEqual(new Set(Object.keys(backendToAgent)));
  });

  it.each(messageFixtures('agent'))('%s is parsed as an agent message and nothing in it is lost', (name) => {
    const parsed = parseAgentMessage(fixtureText(name));
    expect(parsed).toMatchObject({ kind: 'message', message: JSON.parse(fixtureText(name)) as object });
  });

  it.each(messageFixtures('backend'))('%s is parsed as a backend message and nothing in it is lost', (name) => {
    const parsed = parseBackendMessage(fixtureText(name));
    expect(parsed).toMatchObject({ kind: 'message', message: JSON.parse(fixtureText(name)) as object });
  });
});

describe("the specification's own payloads", () => {
  it.each(['online', 'busy', 'maintenance'])(
    'parses the heartbeat as it is written there, with status %s',
    (status) => {
      const text = fixtureText('spec-heartbeat').replace('online | busy | maintenance', status);
      const parsed = parseAgentMessage(text);
      expect(parsed).toMatchObject({ kind: 'message', message: JSON.parse(text) as object });
    },
  );

  it('takes the status only as one of the alternatives', () => {
    expect(parseAgentMessage(fixtureText('spec-heartbeat')).kind).toBe('malformed');
  });

  it('parses START_INSTANCE as it is written there', () => {
    const text = fixtureText('spec-start-instance');
    expect(parseBackendMessage(text)).toMatchObject({ kind: 'message', message: JSON.parse(text) as object });
  });
});

describe('parsing never throws', () => {
  it.each(['', 'null', '[]', '{"event":1,"data":{}}', '{"event":"heartbeat"}', '{"event":"heartbeat","data":[]}'])(
    'answers malformed to %j',
    (text) => {
      expect(parseAgentMessage(text).kind).toBe('malformed');
    },
  );

  it('names the event and the field that is wrong', () => {
    const parsed = parseAgentMessage(
      '{"event":"ack","data":{"cmd_id":"1","rental_id":"r","gen":-1,"result":"accepted"}}',
    );
    expect(parsed).toEqual({ kind: 'malformed', problem: expect.stringMatching(/^ack: gen: /) as string });
  });

  it('tells an event that this version does not know, whatever its name', () => {
    expect(parseAgentMessage('{"event":"later","data":{}}')).toEqual({ kind: 'unknown_event', event: 'later' });
    expect(parseAgentMessage('{"event":"toString","data":{}}')).toEqual({ kind: 'unknown_event', event: 'toString' });
  });

  it('ignores fields that this version does not know', () => {
    const parsed = parseBackendMessage('{"event":"drain_node","data":{"mode":"undo","later":1}}');
    expect(parsed).toEqual({ kind: 'message', message: { event: 'drain_node', data: { mode: 'undo' } } });
  });

  it('does not know a message of the other direction', () => {
    expect(parseAgentMessage(fixtureText('backend.welcome')).kind).toBe('unknown_event');
    expect(parseBackendMessage(fixtureText('agent.hello')).kind).toBe('unknown_event');
  });
});
