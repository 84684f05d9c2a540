package sshd

import (
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// RFC 4254 section 7.2.
type directTCP struct {
	Host       string
	Port       uint32
	OriginHost string
	OriginPort uint32
}

// OpenSSH PROTOCOL section 2.4.
type directSocket struct {
	Path      string
	Reserved  string
	Reserved2 uint32
}

func (c *connection) forwardToTCP(channel ssh.NewChannel) {
	var target directTCP
	if ssh.Unmarshal(channel.ExtraData(), &target) != nil || target.Port > 65_535 {
		_ = channel.Reject(ssh.ConnectionFailed, "the request is malformed")
		return
	}
	c.forwardTo(channel, "tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
}

func (c *connection) forwardToSocket(channel ssh.NewChannel) {
	var target directSocket
	if ssh.Unmarshal(channel.ExtraData(), &target) != nil {
		_ = channel.Reject(ssh.ConnectionFailed, "the request is malformed")
		return
	}
	c.forwardTo(channel, "unix", target.Path)
}

func (c *connection) forwardTo(channel ssh.NewChannel, network, address string) {
	if !take(&c.forwards, maxForwards) {
		_ = channel.Reject(ssh.ResourceShortage, "too many forwarded connections")
		return
	}
	defer c.forwards.Add(-1)
	dialer := net.Dialer{Timeout: dialTimeout}
	target, err := dialer.DialContext(c.ctx, network, address)
	if err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer target.Close()
	stream, requests, err := channel.Accept()
	if err == nil {
		splice(stream, requests, target)
	}
}

// forwardBack opens a channel to the client for a connection that was accepted here, and serves it.
func (c *connection) forwardBack(accepted net.Conn, kind string, payload []byte) {
	defer accepted.Close()
	if !take(&c.forwards, maxForwards) {
		return
	}
	defer c.forwards.Add(-1)
	stream, requests, err := c.ssh.OpenChannel(kind, payload)
	if err == nil {
		splice(stream, requests, accepted)
	}
}

// splice copies both ways until both ends are done, passing on each half's end. When the channel is closed, or breaks
// with its connection, the socket is closed at once: its peer may never close on its own.
func splice(channel ssh.Channel, requests <-chan *ssh.Request, socket net.Conn) {
	defer channel.Close()
	go func() {
		ssh.DiscardRequests(requests)
		_ = socket.Close()
	}()
	var both sync.WaitGroup
	both.Go(func() { copyHalf(channel, socket, channel.CloseWrite) })
	both.Go(func() {
		copyHalf(socket, channel, func() error {
			if half, ok := socket.(interface{ CloseWrite() error }); ok {
				return half.CloseWrite()
			}
			return nil
		})
	})
	both.Wait()
}

func copyHalf(to io.WriteCloser, from io.Reader, end func() error) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return
	}
	_ = end()
}
