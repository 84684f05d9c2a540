package sshd

import (
	"net"
	"os"
	"path/filepath"
)

// agentSocket is the socket by which programs of a session reach the client's SSH agent.
type agentSocket struct {
	path     string
	listener net.Listener
}

// openAgent makes the socket in a folder of its own and forwards it to the client's agent.
func (c *connection) openAgent() (*agentSocket, error) {
	if err := os.MkdirAll(c.files.RunDir(), 0o711); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(c.files.RunDir(), "agent-")
	if err != nil {
		return nil, err
	}
	agent := &agentSocket{path: filepath.Join(dir, "socket")}
	if err := os.Chown(dir, int(c.user.UID), int(c.user.GID)); err != nil {
		agent.close()
		return nil, err
	}
	if agent.listener, err = listenPrivately(agent.path, c.user.UID, c.user.GID); err != nil {
		agent.close()
		return nil, err
	}
	go c.acceptAll(agent.listener, "auth-agent@openssh.com", func(net.Conn) []byte { return nil })
	return agent, nil
}

func (a *agentSocket) close() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	_ = os.RemoveAll(filepath.Dir(a.path))
}
