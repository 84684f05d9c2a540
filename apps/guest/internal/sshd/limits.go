package sshd

import "time"

// Bounds on what a peer can make the server hold. Before log-in all peers look alike: they come through one tunnel.
const (
	// Log-ins in progress: from startupsBegin on, new connections are dropped at random; at startupsFull all are.
	startupsBegin  = 20
	startupsFull   = 100
	maxConnections = 512

	// A peer has this long for version and key exchange, and then this long to log in (people type passphrases).
	exchangeTimeout = 20 * time.Second
	loginTimeout    = 120 * time.Second
	// Keys that one agent may offer; guessing is hopeless, and agents with many keys are common.
	maxAuthTries = 32

	maxAuthorizedKeysBytes = 1 << 20
	maxAuthorizedKeys      = 256
	minRSABits             = 2048

	maxSessions        = 128
	maxForwards        = 1024
	maxRemoteListeners = 64
	maxEnvVariables    = 256
	maxEnvBytes        = 128 << 10

	dialTimeout       = 15 * time.Second
	keepaliveInterval = 60 * time.Second
	// A peer that answers nothing for this long is gone, whatever TCP believes.
	keepaliveTimeout = 10 * time.Minute

	acceptRetry = 50 * time.Millisecond
)
