package scp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// send offers the named files, and directories with -r.
func (e *endpoint) send(paths []string) error {
	if _, err := e.awaitReply(); err != nil {
		return err
	}
	for _, path := range paths {
		if err := e.sendOne(path, 0); err != nil {
			return err
		}
	}
	return nil
}

func (e *endpoint) sendOne(path string, depth int) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		e.warn(err)
		return nil
	case strings.Contains(info.Name(), "\n"):
		e.warn(fmt.Errorf("%q: the protocol has no way to send this name", path))
		return nil
	case info.IsDir() && !e.recursive:
		e.warn(fmt.Errorf("%s: not a regular file", path))
		return nil
	case info.IsDir():
		return e.sendDirectory(path, info, depth)
	case !info.Mode().IsRegular():
		e.warn(fmt.Errorf("%s: not a regular file", path))
		return nil
	default:
		return e.sendFile(path, info)
	}
}

func (e *endpoint) sendFile(path string, info os.FileInfo) error {
	file, err := os.Open(path)
	if err != nil {
		e.warn(err)
		return nil
	}
	defer file.Close()
	if taken, err := e.announce('C', info, path, info.Size()); err != nil || !taken {
		return err
	}
	sent, problem := io.CopyN(e.out, file, info.Size())
	if problem != nil {
		// The promised size must be sent all the same: the file became shorter while it was read.
		if _, err := io.CopyN(e.out, zeros{}, info.Size()-sent); err != nil {
			return err
		}
		e.warn(fmt.Errorf("%s: %w", path, problem))
	} else if err := e.acknowledge(); err != nil {
		return err
	}
	_, err = e.awaitReply()
	return err
}

func (e *endpoint) sendDirectory(path string, info os.FileInfo, depth int) error {
	if depth >= maxDepth {
		return errors.New("directories are nested too deeply")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		e.warn(err)
		return nil
	}
	if taken, err := e.announce('D', info, path, 0); err != nil || !taken {
		return err
	}
	for _, entry := range entries {
		if err := e.sendOne(filepath.Join(path, entry.Name()), depth+1); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(e.out, "E\n"); err != nil {
		return err
	}
	_, err = e.awaitReply()
	return err
}

// announce sends an entry (and its times before it) and says whether the other side takes it.
func (e *endpoint) announce(kind byte, info os.FileInfo, path string, size int64) (taken bool, err error) {
	if e.preserve {
		modified, accessed := info.ModTime().Unix(), info.ModTime().Unix()
		if raw, ok := info.Sys().(*syscall.Stat_t); ok {
			accessed = raw.Atim.Sec
		}
		if _, err := fmt.Fprintf(e.out, "T%d 0 %d 0\n", modified, accessed); err != nil {
			return false, err
		}
		if taken, err := e.awaitReply(); err != nil || !taken {
			return false, err
		}
	}
	if _, err := fmt.Fprintf(e.out, "%c%04o %d %s\n", kind, info.Mode().Perm(), size, filepath.Base(path)); err != nil {
		return false, err
	}
	return e.awaitReply()
}

type zeros struct{}

func (zeros) Read(buffer []byte) (int, error) {
	clear(buffer)
	return len(buffer), nil
}
