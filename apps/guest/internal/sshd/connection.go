package sshd

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"dcompute/guest/internal/account"
)

// connection is one logged-in peer.
type connection struct {
	*Server
	ssh  *ssh.ServerConn
	user account.User
	// ctx ends with the connection.
	ctx context.Context

	sessions       atomic.Int64
	forwards       atomic.Int64
	noMoreSessions atomic.Bool

	mu        sync.Mutex
	listeners map[string]net.Listener
	closed    bool
}

func (c *connection) serveChannels(channels <-chan ssh.NewChannel) {
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			c.openSession(channel)
		case "direct-tcpip":
			go c.forwardToTCP(channel)
		case "direct-streamlocal@openssh.com":
			go c.forwardToSocket(channel)
		default:
			_ = channel.Reject(ssh.UnknownChannelType, "this kind of channel is not served")
		}
	}
}

func (c *connection) openSession(channel ssh.NewChannel) {
	if c.noMoreSessions.Load() {
		_ = channel.Reject(ssh.Prohibited, "this connection asked for no more sessions")
		return
	}
	if !take(&c.sessions, maxSessions) {
		_ = channel.Reject(ssh.ResourceShortage, "too many sessions on this connection")
		return
	}
	go func() {
		defer c.sessions.Add(-1)
		stream, requests, err := channel.Accept()
		if err == nil {
			newSession(c, stream).serve(requests)
		}
	}()
}

func (c *connection) serveRequests(requests <-chan *ssh.Request) {
	for request := range requests {
		switch request.Type {
		case "tcpip-forward":
			c.listenTCP(request)
		case "streamlocal-forward@openssh.com":
			c.listenSocket(request)
		case "cancel-tcpip-forward":
			c.cancelTCP(request)
		case "cancel-streamlocal-forward@openssh.com":
			c.cancelSocket(request)
		case "no-more-sessions@openssh.com":
			c.noMoreSessions.Store(true)
			reply(request, true)
		default:
			// A refusal is also the answer that keepalive@openssh.com waits for.
			reply(request, false)
		}
	}
}

// keepAlive keeps idle sessions alive in the tunnel and its routers, and ends the connection of a peer that is gone.
func (c *connection) keepAlive() {
	ticker := time.NewTicker(keepaliveInterval)
	defer ticker.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-ticker.C:
		}
		silence := time.AfterFunc(keepaliveTimeout, func() { _ = c.ssh.Close() })
		_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
		silence.Stop()
		if err != nil {
			return
		}
	}
}

// take counts one more holder and says whether there was room.
func take(count *atomic.Int64, most int64) bool {
	if count.Add(1) > most {
		count.Add(-1)
		return false
	}
	return true
}

func reply(request *ssh.Request, ok bool) {
	if request.WantReply {
		// An error means that the connection is gone, which ends everything anyway.
		_ = request.Reply(ok, nil)
	}
}
