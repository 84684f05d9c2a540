import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { readJsonFile, writeWhole } from './whole-file.mjs';

const TABLES = ['filter', 'nat', 'raw', 'mangle'];
const PROGRAMS = ['iptables', 'ip6tables'];

/**
 * Notes what the firewall and the bridges are before our own dockerd starts, which leaves its chains and its bridge
 * behind. A note that is there already is an earlier launcher's that was killed: what it saw is what must come back.
 * @param {string} file where the note is kept until `restore`
 * @returns {{restore: () => void}}
 */
export function takeFirewallSnapshot(file) {
  if (!readJsonFile(file))
    writeWhole(file, JSON.stringify({ rules: PROGRAMS.flatMap(savedLines), bridge: hasBridge() }));
  return { restore: () => restoreFirewall(file) };
}

/** Brings back what a note says, once. @param {string} file */
export function restoreFirewall(file) {
  const note = readJsonFile(file);
  if (!note) return;
  removeAddedFirewallRules({ rules: new Set(note.rules), bridge: note.bridge });
  rmSync(file);
}

/** Removes every rule and chain of Docker's that was not there before, and its default bridge. */
function removeAddedFirewallRules(before) {
  for (const program of PROGRAMS) {
    const added = savedLines(program).filter((line) => !before.rules.has(line));
    const [rules, chains] = [
      added.filter((line) => line.includes(' -A ')),
      added.filter((line) => / :DOCKER/.test(line)),
    ];
    for (const line of rules.filter((rule) => /DOCKER|docker0/.test(rule))) {
      const [, table, rule] = line.split(/^\S+ (\S+) /);
      spawnSync(program, ['-t', table, ...splitRule(rule.replace(/^-A /, '-D '))]);
    }
    // All are emptied before any is removed: a chain that another one jumps to cannot go.
    for (const action of ['-F', '-X']) {
      for (const line of chains) {
        const [, table, chain] = /^\S+ (\S+) :(\S+)/.exec(line) ?? [];
        spawnSync(program, ['-t', table, action, chain]);
      }
    }
    // dockerd turns the policy of FORWARD to DROP.
    if (before.rules.has(`${program} filter :FORWARD ACCEPT`)) spawnSync(program, ['-P', 'FORWARD', 'ACCEPT']);
  }
  if (!before.bridge && hasBridge()) spawnSync('ip', ['link', 'delete', 'docker0']);
}

/** `<program> <table> <line>` for every chain and rule; counters are left out. */
function savedLines(program) {
  return TABLES.flatMap((table) => {
    const { stdout, status } = spawnSync(`${program}-save`, ['-t', table], { encoding: 'utf8' });
    if (status !== 0) return [];
    return stdout
      .split('\n')
      .filter((line) => line.startsWith(':') || line.startsWith('-A'))
      .map((line) => `${program} ${table} ${line.replace(/ \[\d+:\d+\]$/, '')}`);
  });
}

/** iptables-save quotes only comments; nothing else in its rules has a space. */
function splitRule(rule) {
  return (rule.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''));
}

function hasBridge() {
  return spawnSync('ip', ['link', 'show', 'docker0']).status === 0;
}
