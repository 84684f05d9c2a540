/** Ports that one node may have open at once; the guard checks each of them against a lease. */
const MAX_PORTS_PER_NODE = 1024;
/** A node that has not been heard of for so long is cut off; frpc beats every 10 seconds. */
const HEARTBEAT_TIMEOUT_SECONDS = 30;

/**
 * The configuration of one frps: TLS forced, every decision left to the guard. `tcpMux = false` is faster and lets open
 * sessions outlive a control connection, so a dead guard cuts nobody off.
 * @param {object} options
 * @param {string} options.bindAddr where nodes connect
 * @param {number} options.bindPort
 * @param {string} options.proxyBindAddr where the public ports of rentals listen
 * @param {string} options.certFile
 * @param {string} options.keyFile
 * @param {string} options.authToken shared by all nodes of this server: keeps strangers out
 * @param {number} options.portStart first public port
 * @param {number} options.portEnd last public port
 * @param {number} options.adminPort of the API on loopback
 * @param {string} options.adminUser
 * @param {string} options.adminPassword
 * @param {string} options.guardAddress `<host>:<port>` of the guard beside it
 * @returns {string} TOML
 */
export function renderFrpsConfig(options) {
  return `# Written by the launcher; changes are lost.
bindAddr = ${text(options.bindAddr)}
bindPort = ${whole(options.bindPort)}
proxyBindAddr = ${text(options.proxyBindAddr)}
allowPorts = [{ start = ${whole(options.portStart)}, end = ${whole(options.portEnd)} }]
maxPortsPerClient = ${MAX_PORTS_PER_NODE}
detailedErrorsToClient = false
enablePrometheus = true

[log]
to = "console"
level = "info"
disablePrintColor = true

[transport]
tcpMux = false
heartbeatTimeout = ${HEARTBEAT_TIMEOUT_SECONDS}
maxPoolCount = 5

[transport.tls]
force = true
certFile = ${text(options.certFile)}
keyFile = ${text(options.keyFile)}

[auth]
method = "token"
token = ${text(options.authToken)}
additionalScopes = ["HeartBeats", "NewWorkConns"]

[webServer]
addr = "127.0.0.1"
port = ${whole(options.adminPort)}
user = ${text(options.adminUser)}
password = ${text(options.adminPassword)}

[[httpPlugins]]
name = "guard"
addr = ${text(`http://${options.guardAddress}`)}
path = "/internal/frp"
ops = ["Login", "NewProxy", "NewUserConn", "Ping"]
`;
}

/** A TOML basic string. frps runs the file through a Go template first, so no `{{` may be left in it. */
function text(value) {
  if (typeof value !== 'string' || value === '') throw new TypeError(`expected text, got ${JSON.stringify(value)}`);
  return JSON.stringify(value).replaceAll('{', '\\u007b').replaceAll('\u007f', '\\u007f');
}

function whole(value) {
  if (!Number.isInteger(value)) throw new TypeError(`expected a whole number, got ${JSON.stringify(value)}`);
  return String(value);
}
