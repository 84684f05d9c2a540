/** Counts of a JUnit report. Skipped tests count as neither. @param {string} xml */
export function readJUnitReport(xml) {
  const cases = xml.match(/<testcase\b/g)?.length ?? 0;
  const failed = xml.match(/<testcase\b[^>]*[^/]>\s*(?:(?!<\/testcase>)[\s\S])*?<(?:failure|error)\b/g)?.length ?? 0;
  const skipped = xml.match(/<skipped\b/g)?.length ?? 0;
  return { passed: cases - failed - skipped, failed };
}

/**
 * Counts of `go test -json`, with what the failed tests printed. A package that does not build counts as one failure.
 * @param {string} text
 */
export function readGoReport(text) {
  const events = text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  const keyOf = ({ Package, Test = '' }) => `${Package} ${Test}`;
  const ended = (action) => events.filter(({ Action, Test }) => Action === action && Test);
  const failed = new Set(ended('fail').map(keyOf));
  const unbuilt = events.filter(({ Action, Test, FailedBuild }) => Action === 'fail' && !Test && FailedBuild);
  const detail = events
    .filter((event) => event.Action === 'build-output' || (event.Action === 'output' && failed.has(keyOf(event))))
    .map(({ Output }) => Output)
    .join('');
  return { passed: ended('pass').length, failed: failed.size + unbuilt.length, detail };
}
