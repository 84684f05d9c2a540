// Package sshd is the SSH server of an instance: what OpenSSH's does, for any Linux image, without a file of the image.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"dcompute/guest/internal/account"
	"dcompute/guest/internal/config"
	"dcompute/guest/internal/program"
)

// Server serves the log-ins of one instance.
type Server struct {
	files     config.Files
	imageUser string
	users     account.Database
	env       program.Environ
	log       *slog.Logger
	crypto    ssh.ServerConfig

	startups    atomic.Int64
	connections atomic.Int64
}

// New prepares a server: it reads the host key and clears sockets that an earlier server left.
func New(cfg *config.Config, files config.Files, log *slog.Logger) (*Server, error) {
	hostKey, err := readHostKey(files.HostKey())
	if err != nil {
		return nil, fmt.Errorf("the host key cannot be used: %w", err)
	}
	if err := os.RemoveAll(files.RunDir()); err != nil {
		return nil, err
	}
	server := &Server{
		files:     files,
		imageUser: cfg.Image.User,
		users:     account.DatabaseAt("/etc"),
		env:       program.InstanceEnviron(cfg.Image.Env, os.Environ(), cfg.Env),
		log:       log,
		crypto:    ssh.ServerConfig{ServerVersion: serverVersion, MaxAuthTries: maxAuthTries},
	}
	modernCrypto(&server.crypto)
	server.crypto.PublicKeyCallback = server.authorize
	server.crypto.AddHostKey(hostKey)
	return server, nil
}

// Serve takes connections until the listener is closed.
func (s *Server) Serve(listener net.Listener) error {
	for {
		socket, err := listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Out of file descriptors or memory, or a peer that left at once: none is a reason to end.
			s.log.Warn("accept_failed", "error", err.Error())
			time.Sleep(acceptRetry)
		case !s.admit():
			_ = socket.Close()
		default:
			go s.serve(socket)
		}
	}
}

// admit says whether one more peer may try to log in, as OpenSSH's MaxStartups does.
func (s *Server) admit() bool {
	waiting := s.startups.Load()
	if waiting >= startupsFull || s.connections.Load() >= maxConnections {
		return false
	}
	dropShare := float64(waiting-startupsBegin) / float64(startupsFull-startupsBegin)
	if rand.Float64() < dropShare {
		return false
	}
	s.startups.Add(1)
	s.connections.Add(1)
	return true
}

func (s *Server) serve(socket net.Conn) {
	defer s.connections.Add(-1)
	defer socket.Close()
	conn, channels, requests, err := s.logIn(socket)
	s.startups.Add(-1)
	if err != nil {
		s.log.Debug("login_failed", "error", err.Error())
		return
	}
	user, err := s.users.ResolveLogin(conn.User(), s.imageUser)
	if err != nil {
		s.log.Warn("login_user_gone", "error", err.Error())
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &connection{Server: s, ssh: conn, user: user, ctx: ctx, listeners: map[string]net.Listener{}}
	go c.keepAlive()
	go c.serveRequests(requests)
	go c.serveChannels(channels)
	_ = conn.Wait()
	cancel()
	c.closeListeners()
}

func (s *Server) logIn(socket net.Conn) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	if err := socket.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return nil, nil, nil, err
	}
	settings := s.crypto
	settings.PreAuthConnCallback = func(ssh.ServerPreAuthConn) {
		_ = socket.SetDeadline(time.Now().Add(loginTimeout))
	}
	conn, channels, requests, err := ssh.NewServerConn(socket, &settings)
	if err != nil {
		return nil, nil, nil, err
	}
	return conn, channels, requests, socket.SetDeadline(time.Time{})
}

func (s *Server) authorize(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if _, err := s.users.ResolveLogin(meta.User(), s.imageUser); err != nil {
		return nil, err
	}
	return nil, checkAuthorized(s.files.AuthorizedKeys(), key)
}
