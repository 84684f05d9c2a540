// Command guest is PID 1 of every instance and its SSH server: one static file for any Linux image.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	"dcompute/guest/internal/config"
	"dcompute/guest/internal/initd"
	"dcompute/guest/internal/scp"
	"dcompute/guest/internal/sftpserver"
	"dcompute/guest/internal/sshd"
)

const (
	exitUsage  = 64 // EX_USAGE
	exitConfig = 78 // EX_CONFIG

	// listenerFD is where PID 1 hands the listening socket to the SSH server.
	listenerFD = 3

	usage = `usage: guest init | sshd | sftp-server | scp
  init         PID 1 of an instance, configured by ` + config.Dir + `/config.json
  sshd         the SSH server; started by init
  sftp-server  the sftp subsystem on stdin and stdout; started by sshd
  scp -t|-f    the far side of "scp -O"; started by sshd where the image has no scp`
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	command := ""
	if len(args) > 1 {
		command = args[1]
	}
	switch command {
	case "init":
		return withConfig(initd.Run)
	case "sshd":
		return withConfig(serveSSH)
	case "sftp-server":
		return sftpserver.Run(os.Stdin, os.Stdout, os.Stderr)
	case "scp":
		return scp.Run(args[2:], os.Stdin, os.Stdout)
	default:
		fmt.Fprintln(os.Stderr, usage)
		return exitUsage
	}
}

func withConfig(serve func(*config.Config, *slog.Logger) int) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg, err := config.Load(config.Dir)
	if err != nil {
		log.Error("config_not_usable", "error", err.Error())
		return exitConfig
	}
	return serve(cfg, log)
}

func serveSSH(cfg *config.Config, log *slog.Logger) int {
	inherited := os.NewFile(listenerFD, "ssh listener")
	listener, err := net.FileListener(inherited)
	// The listener is a copy that no session inherits, which the descriptor from init is not.
	if err = errors.Join(err, inherited.Close()); err != nil {
		log.Error("sshd_without_listener", "error", err.Error())
		return exitUsage
	}
	server, err := sshd.New(cfg, config.FilesIn(config.Dir), log)
	if err == nil {
		err = server.Serve(listener)
	}
	if err != nil {
		log.Error("sshd_failed", "error", err.Error())
		return exitConfig
	}
	return 0
}
