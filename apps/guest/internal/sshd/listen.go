package sshd

import (
	"errors"
	"net"
	"os"
	"strconv"

	"golang.org/x/crypto/ssh"
)

// RFC 4254 section 7.1.
type listenTCPRequest struct {
	Host string
	Port uint32
}

type listenTCPReply struct{ Port uint32 }

type forwardedTCP struct {
	Host       string
	Port       uint32
	OriginHost string
	OriginPort uint32
}

// OpenSSH PROTOCOL section 2.4.
type listenSocketRequest struct{ Path string }

type forwardedSocket struct {
	Path     string
	Reserved string
}

var errTooManyListeners = errors.New("too many listeners on this connection, or it has ended")

// listenTCP serves -R. The client chooses the address, as with OpenSSH's GatewayPorts=clientspecified: a port of the
// instance is reached from outside only where the renter leased it.
func (c *connection) listenTCP(request *ssh.Request) {
	var wanted listenTCPRequest
	if ssh.Unmarshal(request.Payload, &wanted) != nil || wanted.Port > 65_535 {
		reply(request, false)
		return
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(listenHost(wanted.Host), strconv.Itoa(int(wanted.Port))))
	if err != nil {
		reply(request, false)
		return
	}
	port := wanted.Port
	if address, ok := listener.Addr().(*net.TCPAddr); ok {
		port = uint32(address.Port)
	}
	if err := c.addListener(tcpKey(wanted.Host, port), listener); err != nil {
		reply(request, false)
		return
	}
	var answer []byte
	if wanted.Port == 0 {
		answer = ssh.Marshal(listenTCPReply{Port: port})
	}
	if request.WantReply {
		_ = request.Reply(true, answer)
	}
	go c.acceptAll(listener, "forwarded-tcpip", func(accepted net.Conn) []byte {
		origin := forwardedTCP{Host: wanted.Host, Port: port}
		if peer, ok := accepted.RemoteAddr().(*net.TCPAddr); ok {
			origin.OriginHost, origin.OriginPort = peer.IP.String(), uint32(peer.Port)
		}
		return ssh.Marshal(origin)
	})
}

func (c *connection) listenSocket(request *ssh.Request) {
	var wanted listenSocketRequest
	if ssh.Unmarshal(request.Payload, &wanted) != nil {
		reply(request, false)
		return
	}
	listener, err := listenPrivately(wanted.Path, c.user.UID, c.user.GID)
	if err == nil {
		err = c.addListener(socketKey(wanted.Path), listener)
	}
	reply(request, err == nil)
	if err != nil {
		return
	}
	payload := ssh.Marshal(forwardedSocket{Path: wanted.Path})
	go c.acceptAll(listener, "forwarded-streamlocal@openssh.com", func(net.Conn) []byte { return payload })
}

func (c *connection) cancelTCP(request *ssh.Request) {
	var cancelled listenTCPRequest
	ok := ssh.Unmarshal(request.Payload, &cancelled) == nil && c.removeListener(tcpKey(cancelled.Host, cancelled.Port))
	reply(request, ok)
}

func (c *connection) cancelSocket(request *ssh.Request) {
	var cancelled listenSocketRequest
	ok := ssh.Unmarshal(request.Payload, &cancelled) == nil && c.removeListener(socketKey(cancelled.Path))
	reply(request, ok)
}

func (c *connection) acceptAll(listener net.Listener, kind string, payload func(net.Conn) []byte) {
	for {
		accepted, err := listener.Accept()
		if err != nil {
			// Without the listener no forward is promised: the client sees it gone rather than silent.
			_ = listener.Close()
			return
		}
		go c.forwardBack(accepted, kind, payload(accepted))
	}
}

func (c *connection) addListener(key string, listener net.Listener) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, exists := c.listeners[key]; exists || c.closed || len(c.listeners) >= maxRemoteListeners {
		return errors.Join(errTooManyListeners, listener.Close())
	}
	c.listeners[key] = listener
	return nil
}

func (c *connection) removeListener(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	listener, exists := c.listeners[key]
	if exists {
		delete(c.listeners, key)
		_ = listener.Close()
	}
	return exists
}

func (c *connection) closeListeners() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for key, listener := range c.listeners {
		delete(c.listeners, key)
		_ = listener.Close()
	}
}

// listenPrivately opens a socket that only its user may connect to.
func listenPrivately(path string, uid, gid uint32) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.Chown(path, int(uid), int(gid))); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// listenHost is the address to bind for what a client asks (RFC 4254 section 7.1).
func listenHost(wanted string) string {
	if wanted == "*" {
		return ""
	}
	return wanted
}

func tcpKey(host string, port uint32) string {
	return "tcp " + net.JoinHostPort(host, strconv.Itoa(int(port)))
}

func socketKey(path string) string { return "unix " + path }
