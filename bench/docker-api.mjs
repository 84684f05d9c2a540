import { request } from 'node:http';

/** A small client of the Docker Engine API over its unix socket, with connections kept open. @param {string} dockerHost */
export function dockerApi(dockerHost) {
  const socketPath = dockerHost.replace(/^unix:\/\//, '');
  const send = (method, path, { json, tar } = {}) =>
    new Promise((resolve, reject) => {
      const body = json === undefined ? tar : Buffer.from(JSON.stringify(json));
      const headers =
        body === undefined
          ? {}
          : {
              'content-type': json === undefined ? 'application/x-tar' : 'application/json',
              'content-length': body.length,
            };
      const call = request({ socketPath, method, path: `/v1.41${path}`, headers }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const answer = Buffer.concat(chunks);
          if (response.statusCode >= 300)
            return reject(new Error(`${method} ${path}: ${response.statusCode} ${answer}`));
          return resolve(answer);
        });
      });
      call.on('error', reject);
      call.end(body);
    });
  const json = async (...args) => {
    const answer = await send(...args);
    return answer.length > 0 ? JSON.parse(answer) : undefined;
  };
  return {
    inspect: (id) => json('GET', `/containers/${id}/json`),
    inspectNetwork: (id) => json('GET', `/networks/${id}`),
    create: (name, config) => json('POST', `/containers/create?name=${name}`, { json: config }),
    start: (id) => send('POST', `/containers/${id}/start`),
    remove: (id) => send('DELETE', `/containers/${id}?force=true&v=true`),
    readFiles: (id, path) => send('GET', `/containers/${id}/archive?path=${encodeURIComponent(path)}`),
    writeFiles: (id, path, tar) => send('PUT', `/containers/${id}/archive?path=${encodeURIComponent(path)}`, { tar }),
    createNetwork: (config) => json('POST', '/networks/create', { json: config }),
    removeNetwork: (id) => send('DELETE', `/networks/${id}`),
  };
}
