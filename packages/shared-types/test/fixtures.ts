import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** The text of one golden fixture. */
export const fixtureText = (name: string): string => readFileSync(`${folder}${name}.json`, 'utf8');

/** The names of all fixtures of one sender: `agent.` or `backend.` messages. */
export const messageFixtures = (sender: 'agent' | 'backend'): string[] =>
  readdirSync(folder)
    .filter((file) => file.startsWith(`${sender}.`))
    .map((file) => file.replace(/\.json$/, ''));
