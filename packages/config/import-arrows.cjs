/**
 * The import arrows of design section 3, as errors. dependency-cruiser reads TypeScript through swc: it has no reader for
 * TypeScript 7 of its own and would see an empty graph (tools/test/import-arrows.mjs proves that it does not).
 */
const backend = '^apps/backend/src';

const arrow = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

module.exports = {
  forbidden: [
    arrow('no-cycle', 'A cycle has no top to read from.', {}, { circular: true }),
    arrow('resolvable', 'Every import must exist.', {}, { couldNotResolve: true }),
    arrow(
      'config-alone',
      'config/ reads the environment and knows nothing else.',
      { path: `${backend}/config/` },
      { path: backend, pathNot: `${backend}/config/` },
    ),
    arrow(
      'infra-below-modules',
      'infra/ imports nothing from modules or edges.',
      { path: `${backend}/infra/` },
      { path: backend, pathNot: `${backend}/(infra|config)/` },
    ),
    arrow(
      'modules-below-edges',
      'modules/ know no edge: no gateway, no HTTP set-up, no guard.',
      { path: `${backend}/modules/` },
      { path: backend, pathNot: `${backend}/(modules|infra|config)/` },
    ),
    arrow(
      'module-through-index',
      'A module reaches another only through its index.ts.',
      { path: `${backend}/modules/([^/]+)/` },
      { path: `${backend}/modules/([^/]+)/`, pathNot: [`${backend}/modules/$1/`, '/index\\.ts$'] },
    ),
    arrow(
      'edges-through-index',
      'An edge reaches a module only through its index.ts.',
      { path: `${backend}/(agent-gateway|http|guard|app\\.module\\.ts|main\\.ts)` },
      { path: `${backend}/modules/`, pathNot: '/index\\.ts$' },
    ),
    arrow(
      'guard-alone',
      'The guard has no database: config and infra at most.',
      { path: `${backend}/guard/` },
      { path: backend, pathNot: `${backend}/(guard|infra|config)/` },
    ),
    arrow(
      'gateway-alone',
      'The agent gateway hands on to modules.',
      { path: `${backend}/agent-gateway/` },
      { path: backend, pathNot: `${backend}/(agent-gateway|modules|infra|config)/` },
    ),
    arrow(
      'shared-types-alone',
      'shared-types imports nothing of ours.',
      { path: '^packages/shared-types/src' },
      { path: '^(apps|packages/(?!shared-types)|e2e)' },
    ),
    arrow(
      'sources-without-tests',
      'Nothing that ships imports a test.',
      { path: `^(apps|packages)/[^/]+/src/`, pathNot: '\\.spec\\.ts$' },
      { path: '(/test/|\\.spec\\.ts$)' },
    ),
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(/dist/|/generated/)' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
