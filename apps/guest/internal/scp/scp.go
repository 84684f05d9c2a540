// Package scp is the far side of `scp -O` (the rcp protocol), for images without an scp of their own.
package scp

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

const (
	replyOK      = 0
	replyWarning = 1
	replyFatal   = 2

	maxLineBytes = 16 << 10
	maxDepth     = 256
)

var errPeer = errors.New("the other side reported an error")

// endpoint is one side of the protocol.
type endpoint struct {
	in  *bufio.Reader
	out io.Writer

	recursive bool
	preserve  bool
	// failed is set when a file could not be copied; the others still are.
	failed bool
}

// Run serves `scp -t path` (receive) or `scp -f path ...` (send) and returns the exit code.
func Run(args []string, input io.Reader, output io.Writer) int {
	e := &endpoint{in: bufio.NewReaderSize(input, maxLineBytes), out: output}
	flags := flag.NewFlagSet("scp", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	to := flags.Bool("t", false, "receive")
	from := flags.Bool("f", false, "send")
	directory := flags.Bool("d", false, "the target must be a directory")
	flags.BoolVar(&e.recursive, "r", false, "recursive")
	flags.BoolVar(&e.preserve, "p", false, "preserve times and modes")
	flags.Bool("v", false, "accepted and ignored")
	flags.Bool("q", false, "accepted and ignored")
	err := flags.Parse(apart(args))
	switch {
	case err != nil:
	case *to && flags.NArg() == 1:
		err = e.receive(flags.Arg(0), *directory)
	case *from && flags.NArg() > 0:
		err = e.send(flags.Args())
	default:
		err = errors.New("usage: scp [-prdv] -t path | -f path ...")
	}
	if err != nil && !errors.Is(err, errPeer) {
		e.report(replyFatal, err)
	}
	if err != nil || e.failed {
		return 1
	}
	return 0
}

// apart turns -prt into -p -r -t.
func apart(args []string) []string {
	var out []string
	for index, arg := range args {
		if arg == "--" || !strings.HasPrefix(arg, "-") || arg == "-" {
			return append(out, args[index:]...)
		}
		for _, letter := range arg[1:] {
			out = append(out, "-"+string(letter))
		}
	}
	return out
}

// warn tells the other side that one file failed.
func (e *endpoint) warn(err error) {
	e.failed = true
	e.report(replyWarning, err)
}

func (e *endpoint) report(kind byte, err error) {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	_, _ = fmt.Fprintf(e.out, "%cscp: %s\n", kind, text)
}

func (e *endpoint) acknowledge() error {
	_, err := e.out.Write([]byte{replyOK})
	return err
}

// awaitReply reads the other side's answer. A warning means that it left out one file.
func (e *endpoint) awaitReply() (taken bool, err error) {
	kind, err := e.in.ReadByte()
	switch {
	case err != nil:
		return false, err
	case kind == replyOK:
		return true, nil
	}
	if _, err := e.readLine(); err != nil {
		return false, err
	}
	e.failed = true
	if kind == replyWarning {
		return false, nil
	}
	return false, errPeer
}

func (e *endpoint) readLine() (string, error) {
	line, err := e.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errors.New("a line of the protocol is too long")
	}
	return strings.TrimSuffix(string(line), "\n"), err
}
