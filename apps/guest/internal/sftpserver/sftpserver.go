// Package sftpserver is the sftp subsystem. It runs as a process of its own, as the session's user.
package sftpserver

import (
	"errors"
	"fmt"
	"io"

	"github.com/pkg/sftp"
)

// stream joins the two halves of the session.
type stream struct {
	io.Reader
	io.WriteCloser
}

// Run serves one client until it closes its side. Relative paths start in the process's working directory. (The library's
// option for another one also makes the targets of relative symbolic links absolute.)
func Run(input io.Reader, output io.WriteCloser, problems io.Writer) int {
	server, err := sftp.NewServer(stream{input, output})
	if err == nil {
		err = server.Serve()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		fmt.Fprintln(problems, "sftp:", err)
		return 1
	}
	return 0
}
