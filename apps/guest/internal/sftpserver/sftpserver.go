// Package sftpserver is the sftp subsystem. It runs as a process of its own, as the session's user.
package sftpserver

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pkg/sftp"
)

// stream joins the two halves of the session.
type stream struct {
	io.Reader
	io.WriteCloser
}

// Run serves one client until it closes its side; relative paths start in the working directory.
func Run(input io.Reader, output io.WriteCloser, problems io.Writer) int {
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	server, err := sftp.NewServer(stream{input, output}, sftp.WithServerWorkingDirectory(dir))
	if err == nil {
		err = server.Serve()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(problems, "sftp:", err)
		return 1
	}
	return 0
}
